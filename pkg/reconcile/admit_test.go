package reconcile_test

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A removal is seen twice at least Settle apart, however long a busy node takes to look: from the end of the first look to the beginning of the second.
func TestSlowLook(t *testing.T) {
	web := spec.Document{Container: spec.Container{Metadata: spec.Metadata{Name: "web"}}, Line: 1}
	began := time.Now()
	look := func(at, listed time.Duration, documents ...spec.Document) reconcile.Snapshot {
		s := reconcile.Snapshot{Source: "m", ReadAt: began.Add(at), Listed: began.Add(listed)}
		if documents != nil {
			s.Files = []*reconcile.File{{Path: "m/web.yaml", Documents: documents}}
		}
		return s
	}
	a := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{look(0, 0, web)}})
	for _, step := range []struct {
		snapshot reconcile.Snapshot
		there    bool
	}{
		{look(time.Second, time.Second+reconcile.Settle), true},
		{look(time.Second+reconcile.Settle, time.Second+reconcile.Settle), true},
		{look(time.Second+2*reconcile.Settle-1, time.Minute), true},
		{look(time.Second+2*reconcile.Settle, time.Minute), false},
	} {
		a = reconcile.Admit(reconcile.Request{
			Snapshots: []reconcile.Snapshot{step.snapshot}, Incumbents: a.Desired, Missing: a.Missing, Prune: reconcile.PruneAlways,
		})
		if there := a.Desired["web"] != nil; there != step.there {
			t.Errorf("read at %v: there is %v", step.snapshot.ReadAt.Sub(began), there)
		}
	}
}
