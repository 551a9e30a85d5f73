package e2e

import (
	"fmt"
	"maps"
	"syscall"
	"testing"
	"time"
)

// BenchmarkAdopt measures how long after its exec an agent has looked at 500 containers, each of which has the process that it had: after another agent's
// SIGTERM, and after its SIGKILL.
func BenchmarkAdopt(b *testing.B) {
	const count = 500
	n := newNode(b)
	n.put("all.yaml", layered(1, count, true))
	n.start()
	n.allReady(count)
	before := n.pids()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		b.Run(fmt.Sprint("after=", sig), func(b *testing.B) {
			var longest time.Duration
			for range b.N {
				n.signal(sig)
				began := time.Now()
				n.start()
				n.eventually("all are adopted", func() error {
					if now := n.pids(); !maps.Equal(now, before) {
						return fmt.Errorf("%d of %d are there", len(now), count)
					}
					return nil
				})
				longest = max(longest, time.Since(began))
			}
			b.ReportMetric(longest.Seconds(), "s-longest")
		})
	}
}

// pids are the processes of the containers that are ready.
func (n *node) pids() map[string]int {
	n.t.Helper()
	items, err := n.list()
	if err != nil {
		n.t.Fatal(err)
	}
	pids := map[string]int{}
	for _, o := range items {
		if o.Status.Container.Ready {
			pids[o.Metadata.Name] = o.Status.Container.Pid
		}
	}
	return pids
}
