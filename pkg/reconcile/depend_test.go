package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// unseen is a node that cannot look at one name for a while.
type unseen struct {
	reconcile.Node
	name  string
	until time.Time
}

func (n unseen) ObserveOne(ctx context.Context, name string) ([]spec.Instance, error) {
	if name == n.name && time.Now().Before(n.until) {
		return nil, errors.New("not now")
	}
	return n.Node.ObserveOne(ctx, name)
}

// What depends on others may run where nobody could look: those others are not stopped before somebody could, and are then, whether it ran or not.
func TestOrderUnseen(t *testing.T) {
	t.Run("runs", func(t *testing.T) { testOrderUnseen(t, "", "Stop web", "Stop db") })
	t.Run("ended", func(t *testing.T) { testOrderUnseen(t, spec.StateStopped, "Stop db") })
}

func testOrderUnseen(t *testing.T, before spec.State, want ...string) {
	synctest.Test(t, func(t *testing.T) {
		machine, disk, folder := simnode.New(), simnode.NewDisk(), simnode.NewFolder("main")
		web := func(state spec.State) spec.Container {
			c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "web"}}
			c.Spec.Rootfs.Path, c.Spec.Command, c.Spec.State = "/srv", []string{"/web"}, state
			c.Spec.DependsOn = []spec.Dependency{{Name: "db"}}
			return c
		}
		db := func(state spec.State) spec.Container {
			c := web(state)
			c.Metadata.Name, c.Spec.DependsOn = "db", nil
			return c
		}
		folder.PutContainers("all.yaml", db(""), web(""))
		run := func(node reconcile.Node, session *simnode.Node, d time.Duration) {
			agent, err := reconcile.New(reconcile.Config{Node: node, Store: disk.Store(session), Sources: []reconcile.Source{folder}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := agent.Run(ctx); err != nil {
				t.Fatal(err)
			}
			session.Die()
		}
		session := machine.Attach(nil, func() {})
		run(session, session, 5*time.Second)
		folder.PutContainers("all.yaml", db(""), web(before))
		session = machine.Attach(nil, func() {})
		run(session, session, 5*time.Second)
		folder.PutContainers("all.yaml", db(spec.StateStopped), web(spec.StateStopped))
		var stopped []string
		machine.Judge = func(verb, name string, _ uint64, _ []spec.Instance) { stopped = append(stopped, verb+" "+name) }
		session = machine.Attach(nil, func() {})
		run(unseen{session, "web", time.Now().Add(5 * time.Second)}, session, 30*time.Second)
		stopped = slices.DeleteFunc(stopped, func(s string) bool { return s == "Update web" || s == "Update db" })
		if !slices.Equal(stopped, want) {
			t.Errorf("got %v, want %v", stopped, want)
		}
	})
}
