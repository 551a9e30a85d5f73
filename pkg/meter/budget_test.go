package meter

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/exposition"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// told is a node and an agent that say what a test tells them.
type told struct {
	names []string
	cpu   map[string]uint64 // seconds; none is no instance
}

func (f *told) Objects() (list []spec.Object, _ uint64) {
	for _, name := range f.names {
		o := spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: name}}}
		if _, ok := f.cpu[name]; ok {
			o.Status.Container.Instance = 1
		}
		list = append(list, o)
	}
	return list, 0
}

func (f *told) Activity() (a reconcile.Activity)           { return a }
func (f *told) Keeper(context.Context) (int, int64, error) { return 0, 0, fs.ErrNotExist }
func (f *told) Stats(_ context.Context, name string, _ uint64) (spec.Stats, error) {
	return spec.Stats{CPU: &spec.CPUStats{UsageUsec: f.cpu[name] * 1e6}}, nil
}

// Whoever has figures of its own keeps them; the others are added up, and their sum never falls.
func TestBudget(t *testing.T) {
	f := &told{}
	h := NewHandler(Config{Meter: New(), Agent: f, Node: f, Containers: 2})
	for _, step := range []struct {
		what  string
		cpu   map[string]uint64
		names string // c stands for a container without an instance when it is not in cpu
		want  map[string]float64
	}{
		{"two fit", map[string]uint64{"b": 1, "c": 2}, "b c", map[string]float64{"b": 1, "c": 2}},
		{"a later one does not take a place, whatever its name", map[string]uint64{"a": 5, "b": 1, "c": 2}, "a b c", map[string]float64{"b": 1, "c": 2, Others: 5}},
		{"it is one of several", map[string]uint64{"a": 6, "b": 1, "c": 2, "d": 10}, "a b c d", map[string]float64{"b": 1, "c": 2, Others: 16}},
		{"one begins anew", map[string]uint64{"a": 1, "b": 1, "c": 2, "d": 10}, "a b c d", map[string]float64{"b": 1, "c": 2, Others: 17}},
		{"one has no instance for a while", map[string]uint64{"b": 1, "c": 2, "d": 11}, "a b c d", map[string]float64{"b": 1, "c": 2, Others: 18}},
		{"one is gone", map[string]uint64{"b": 1, "c": 2, "d": 11}, "b c d", map[string]float64{"b": 1, "c": 2, Others: 18}},
		{"one moves up", map[string]uint64{"b": 1, "d": 12}, "b d", map[string]float64{"b": 1, "d": 12, Others: 18}},
	} {
		f.names, f.cpu = strings.Fields(step.names), step.cpu
		families, err := exposition.Parse(string(h.Scrape(t.Context()).Bytes))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, s := range families["reconciler_container_cpu_usage_seconds_total"].Samples {
			got[s.Labels["name"]] = s.Value
		}
		for name, want := range step.want {
			if got[name] != want {
				t.Errorf("%s: %s has %v, want %v", step.what, name, got[name], want)
			}
		}
		if len(got) != len(step.want) {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
		if _, ok := families["reconciler_container_ready"].Value("name", Others); ok {
			t.Errorf("%s: what cannot be added up is", step.what)
		}
	}
}

// Every verb of the loop has its durations.
func TestEveryVerb(t *testing.T) {
	m := New()
	for _, verb := range reconcile.Verbs() {
		m.Acted(reconcile.Action{Verb: verb}, spec.Image{}, 1, nil)
		if m.action[verb].Empty() {
			t.Errorf("%s is not measured", verb)
		}
	}
}
