package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

type get struct {
	*app
	names    []string
	labels   selector
	format   *format
	watch    bool
	noHeader bool
}

func newGet(a *app) *cobra.Command {
	g := &get{app: a}
	cmd := &cobra.Command{
		Use:   "get [NAME...]",
		Short: "List containers: phase, restarts, age",
		Long: `List containers with their phase, or print them whole as JSON or YAML.

JSON and YAML are {"items": [...]}, each item with metadata, spec and status; with --watch
each change is one line of JSON {"type": "Added|Modified|Deleted", "object": ...}.

The name of a group stands for all its containers.`,
		Example: `  reconciler get
  reconciler get web worker -o wide
  reconciler get -l app=web --watch
  reconciler get -o json | jq -r '.items[] | .metadata.name + " " + .status.phase'`,
		Annotations:       exits("0  listed", "1  error, or a NAME that does not exist"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			g.names = args
			return g.run(cmd.Context())
		},
	}
	g.format = outputFlag(cmd, "table", "wide", "name", "json", "yaml")
	cmd.Flags().BoolVarP(&g.watch, "watch", "w", false, "go on with every change")
	cmd.Flags().BoolVar(&g.noHeader, "no-headers", false, "leave the header of the table out")
	cmd.Flags().VarP(&g.labels, "selector", "l", "only containers with these labels: app=web,tier!=test,canary")
	return cmd
}

func (g *get) run(ctx context.Context) error {
	if g.watch {
		return g.follow(ctx)
	}
	list, err := g.client().List(ctx)
	if err != nil {
		return err
	}
	list.Items = slices.DeleteFunc(list.Items, func(o spec.Object) bool { return !g.wants(o) })
	if err := g.print(list); err != nil {
		return err
	}
	g.remind(ctx)
	return g.missing(ctx, list.Items)
}

func (g *get) wants(o spec.Object) bool {
	return (len(g.names) == 0 || isAnyOf(o, g.names)) && g.labels.matches(o.Metadata.Labels)
}

// missing is an error for the first name that was asked for and is not there.
func (g *get) missing(ctx context.Context, items []spec.Object) error {
	for _, name := range g.names {
		if slices.ContainsFunc(items, func(o spec.Object) bool { return isNamed(o, name) }) {
			continue
		}
		if o, err := g.client().Get(ctx, name); err != nil || g.wants(o) {
			return err
		}
	}
	return nil
}

// remind tells a person who looks at a table that some manifests are not among them.
func (g *get) remind(ctx context.Context) {
	if !g.err.terminal || g.format.word != "table" && g.format.word != "wide" {
		return
	}
	if sources, err := g.client().Sources(ctx); err == nil && troubled(sources) {
		fmt.Fprintln(g.err, g.err.dim("some manifests have problems: see `reconciler sources`"))
	}
}

func (g *get) print(list api.List) error {
	switch g.format.word {
	case "json", "yaml":
		return g.encode(g.format.word, list)
	case "name":
		for _, o := range list.Items {
			fmt.Fprintln(g.out, o.Metadata.Name)
		}
		return nil
	}
	if len(list.Items) == 0 && len(g.names) == 0 {
		fmt.Fprintln(g.err, "no containers\nhint: `reconciler sources` says which manifests were read")
		return nil
	}
	t := g.table()
	for _, o := range list.Items {
		t.add(g.row(o)...)
	}
	if t.drawable() {
		t.draw(g.out)
	}
	return nil
}

// follow prints what is there, then each change.
func (g *get) follow(ctx context.Context) error {
	t := g.table()
	listed := false
	for change, err := range g.client().Watch(ctx) {
		switch {
		case err != nil:
			return err
		case change.Type == api.Bookmark:
			listed = true
		case g.wants(change.Object):
			if err := g.printChange(t, change); err != nil {
				return err
			}
		}
		if listed && t.drawable() {
			t.draw(g.out)
		}
	}
	return nil
}

func (g *get) printChange(t *table, change api.Change) error {
	switch g.format.word {
	case "json":
		return g.encodeLine(change)
	case "yaml":
		fmt.Fprintln(g.out, "---")
		return g.encode("yaml", change)
	case "name":
		fmt.Fprintln(g.out, change.Object.Metadata.Name)
		return nil
	}
	row := g.row(change.Object)
	if change.Type == api.Deleted {
		row[1] = cell{text: "Removed", colour: dim}
	}
	t.add(row...)
	return nil
}

// table has the columns of the format.
func (g *get) table() *table {
	header := []string{"NAME", "PHASE", "RESTARTS", "AGE", "MESSAGE"}
	if g.format.word == "wide" {
		header = []string{"NAME", "PHASE", "WANTED", "RESTARTS", "AGE", "PID", "INSTANCE", "LAST EXIT", "CONFIGS", "LABELS", "SOURCE", "MESSAGE"}
	}
	t := newTable(header...)
	t.bare = g.noHeader
	return t
}

func (g *get) row(o spec.Object) []cell {
	c := o.Status.Container
	name := cell{text: o.Metadata.Name}
	phase := cell{text: string(o.Status.Phase), colour: phaseColour(o.Status.Phase)}
	restarts := cell{text: fmt.Sprint(c.RestartCount)}
	started := cell{text: cmp.Or(age(c.StartedAt), "-")}
	message := cell{text: message(o)}
	if g.format.word != "wide" {
		return []cell{name, phase, restarts, started, message}
	}
	return []cell{
		name, phase,
		{text: wanted(o)},
		restarts, started,
		{text: dash(c.Pid)},
		{text: dash(c.Instance)},
		{text: cmp.Or(exitText(c.LastExit), "-")},
		{text: cmp.Or(configWords(o), "-")},
		{text: cmp.Or(labelText(o.Metadata.Labels), "-")},
		{text: cmp.Or(sourceText(o.Status.Source), "-"), end: true},
		message,
	}
}
