package reconcile_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// stuckNode does not come back from some of what it is asked, whatever the context says.
type stuckNode struct {
	reconcile.Node
	mu    sync.Mutex
	names []string // whose Start does not end; "*" is a look at the whole node
	freed chan struct{}
}

func (n *stuckNode) hang(name string) {
	n.mu.Lock()
	stuck := slices.Contains(n.names, name)
	n.mu.Unlock()
	if stuck {
		<-n.freed
	}
}

func (n *stuckNode) Start(ctx context.Context, name string, id uint64) error {
	n.hang(name)
	return n.Node.Start(ctx, name, id)
}

func (n *stuckNode) Observe(ctx context.Context) ([]spec.Instance, error) {
	n.hang("*")
	return n.Node.Observe(ctx)
}

// A pass of one name that is stuck leaves the others going, and the loop is not stuck; with no worker left, or without looks at the node, it is.
func TestStuck(t *testing.T) {
	for _, test := range []struct {
		name  string
		stuck []string
		says  string
	}{
		{"nobody", nil, ""},
		{"one", []string{"a"}, ""},
		{"every worker", []string{"a", "b"}, "no pass of these ends: a, b"},
		{"the look", []string{"*"}, "a look at the node does not end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStory(t, new(txtar.Archive))
				session := s.machine.Attach(nil, func() {})
				node := &stuckNode{Node: session, freed: make(chan struct{})}
				agent, err := reconcile.New(reconcile.Config{Node: node, Store: s.disk.Store(session), Sources: s.sources(), Workers: 2})
				must(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- agent.Run(ctx) }()
				time.Sleep(time.Second)
				node.mu.Lock()
				node.names = test.stuck
				node.mu.Unlock()
				for _, name := range []string{"a", "b", "c"} {
					s.folder(nil).Put(name+".yaml", strings.ReplaceAll(someManifest, "%s", name))
				}
				for range 60 {
					time.Sleep(time.Minute)
					if err := agent.Stuck(ctx); test.says == "" && err != nil {
						t.Fatal(err)
					}
				}
				if err := agent.Stuck(ctx); test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("got %v, want %s", err, test.says)
				}
				if c, err := agent.Object("c"); len(test.stuck) < 2 && test.stuck != nil && test.stuck[0] != "*" && (err != nil || c.Status.Phase != spec.PhaseRunning) {
					t.Errorf("the others wait: %+v, %v", c.Status, err)
				}
				close(node.freed)
				time.Sleep(time.Minute)
				if err := agent.Stuck(ctx); err != nil {
					t.Errorf("nobody is stuck any more: %v", err)
				}
				cancel()
				must(t, <-done)
			})
		})
	}
}

// A reread source is read although no hint came and its files look as they did.
func TestReread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, new(txtar.Archive))
		session := s.machine.Attach(nil, func() {})
		source := &countingSource{Source: s.folder(nil)}
		agent, err := reconcile.New(reconcile.Config{Node: session, Store: s.disk.Store(session), Sources: []reconcile.Source{source}, Rescan: time.Hour})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- agent.Run(ctx) }()
		time.Sleep(time.Second)
		before := source.all
		must(t, agent.Reread(ctx))
		if source.all != before+1 {
			t.Errorf("%d whole scans, then %d", before, source.all)
		}
		cancel()
		must(t, <-done)
		if err := agent.Reread(ctx); err == nil {
			t.Error("an agent that has ended rereads")
		}
	})
}

// countingSource counts the scans that trust nothing.
type countingSource struct {
	reconcile.Source
	all int
}

func (s *countingSource) Scan(ctx context.Context, all bool) reconcile.Snapshot {
	if all {
		s.all++
	}
	return s.Source.Scan(ctx, all)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
