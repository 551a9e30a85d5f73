package main

import (
	"context"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/journal"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// forwarding has the output of containers that ask for it go to the journal.
type forwarding struct {
	*journal.Forwarder
	node *linux.Node
}

func newForwarding(node *linux.Node, log logr.Logger) *forwarding {
	return &forwarding{journal.NewForwarder(journal.Dial(journal.Socket), log), node}
}

// run follows the agent's containers until ctx ends.
func (f *forwarding) run(ctx context.Context, agent *reconcile.Agent) error {
	defer f.Wait()
	for ctx.Err() == nil {
		objects, version := agent.Objects()
		there := map[string]bool{}
		for _, o := range objects {
			there[o.Metadata.Name] = true
			f.set(ctx, o)
		}
		f.Retain(there)
		changes, err := agent.Watch(ctx, version)
		if err != nil {
			continue // changes that old are forgotten: list again
		}
		for change := range changes {
			switch change.Type {
			case reconcile.Deleted:
				f.Set(ctx, change.Object.Metadata.Name, journal.Target{})
			case reconcile.Added, reconcile.Modified:
				f.set(ctx, change.Object)
			}
		}
	}
	return nil
}

// set has the output of a container go where its manifest says.
func (f *forwarding) set(ctx context.Context, o spec.Object) {
	var t journal.Target
	if driver := f.node.LogDriver(o.Spec.Logs); driver.Journal() {
		name := o.Metadata.Name
		t = journal.Target{Dir: f.node.LogDir(name), Remove: driver == spec.LogJournald, Fields: []journal.Field{{Name: "RECONCILER_GROUP", Value: o.Spec.Group}}}
		if path := o.Status.Source.Path; path != "" {
			t.Fields = append(t.Fields, journal.Field{Name: "RECONCILER_MANIFEST", Value: filepath.Clean(path)})
		}
	}
	f.Set(ctx, o.Metadata.Name, t)
}
