// Command genmetrics writes the tables of docs/metrics.md, between the marks that it has for them: it asks a meter of which there is nothing to say what it would
// say. It runs in pkg/meter, by go generate.
package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/meter"
	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const begin, end = "<!-- begin: go generate ./pkg/meter -->\n", "<!-- end -->\n"

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "genmetrics:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		return fmt.Errorf("%s has no marks", path)
	}
	return os.WriteFile(path, bytes.Join([][]byte{before, []byte(begin), tables(), []byte(end), after}, nil), 0o644)
}

// tables are one of the agent's own figures, and one of each container's.
func tables() []byte {
	families := meter.NewHandler(meter.Config{Meter: meter.New(), Agent: nothing{}, Node: nothing{}}).Scrape(context.Background()).Families
	var agent, containers bytes.Buffer
	for _, f := range families {
		to := &agent
		if strings.HasPrefix(f.Name, "reconciler_container_") {
			to = &containers
		}
		fmt.Fprintf(to, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, cmp.Or(labels(f), " "), f.Help)
	}
	const head = "| name | type | labels | what it is |\n|---|---|---|---|\n"
	return []byte("\n### The agent, its loop and the node\n\n" + head + agent.String() + "\n### Each container\n\n" + head + containers.String() + "\n")
}

func labels(f metric.Family) string { return strings.Join(f.Labels, ", ") }

// nothing is an agent and a node of which there is nothing to say.
type nothing struct{}

func (nothing) Objects() ([]spec.Object, uint64)                                { return nil, 0 }
func (nothing) Activity() (a reconcile.Activity)                                { return a }
func (nothing) Stats(context.Context, string, uint64) (s spec.Stats, err error) { return s, nil }
func (nothing) Keeper(context.Context) (int, int64, error)                      { return 0, 0, nil }
