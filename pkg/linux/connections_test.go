package linux_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Who listens and who is connected is seen in the container's own network, and nobody else's.
func TestConnections(t *testing.T) {
	n := open(t)
	for name, test := range map[string]struct {
		script             string
		connected, listens bool
	}{
		"nobody":    {"while :; do sleep 0.05; done", false, false},
		"listens":   {"nc -l -p 80 & while :; do sleep 0.05; done", false, true},
		"connected": {"(while :; do sleep 0.05; done) | nc -l -p 80 & sleep 0.2; (while :; do sleep 0.05; done) | nc 127.0.0.1 80", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, n.Create(t.Context(), n.container(name, test.script), 1, spec.DefaultsVersion))
			must(t, n.Start(t.Context(), name, 1))
			t.Cleanup(func() { must(t, n.Destroy(context.WithoutCancel(t.Context()), name, 1, false)) })
			d, err := n.OpenDump(t.Context(), name, 1)
			must(t, err)
			defer d.Close()
			for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				connected, err := d.Connected()
				must(t, err)
				listens, err := d.Listens()
				must(t, err)
				if connected == test.connected && listens == test.listens {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("connected %v, listens %v", connected, listens)
				}
			}
		})
	}
}
