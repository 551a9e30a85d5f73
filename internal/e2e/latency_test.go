package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// BenchmarkDrop is the time from a manifest's rename into the directory to the first write of its process.
func BenchmarkDrop(b *testing.B) {
	rounds(b, func(n *node, name, mark string, drop func()) time.Duration {
		began := time.Now()
		drop()
		n.written(mark, 0)
		return time.Since(began)
	})
}

// BenchmarkRestart is the time from the death of a process to the first write of its successor, when it is the first restart.
func BenchmarkRestart(b *testing.B) {
	rounds(b, func(n *node, name, mark string, drop func()) time.Duration {
		drop()
		n.written(mark, 0)
		object := n.phase(name, spec.PhaseRunning)
		began := time.Now()
		if err := unix.Kill(object.Status.Container.Pid, unix.SIGKILL); err != nil {
			b.Fatal(err)
		}
		n.written(mark, int64(len("up\n")))
		return time.Since(began)
	})
}

// rounds measures one container after the other, each of which appends a line to its mark when it starts.
func rounds(b *testing.B, round func(n *node, name, mark string, drop func()) time.Duration) {
	n := newNode(b)
	n.start()
	shared := n.path("shared")
	if err := os.Mkdir(shared, 0o777); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for i := range b.N {
		name := fmt.Sprintf("round-%d", i)
		text := manifest(name, "echo up >> /shared/"+name+"; exec sleep 1000",
			fmt.Sprintf("  mounts: [{type: bind, source: %s, destination: /shared, options: [rw]}]\n  stop: {timeout: 0.1s}\n", shared))
		took = append(took, round(n, name, filepath.Join(shared, name), func() { n.put(name+".yaml", text) }))
		n.remove(name + ".yaml")
		n.gone(name)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// written waits until a file is longer than size.
func (n *node) written(path string, size int64) {
	n.t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		if info, err := os.Stat(path); err == nil && info.Size() > size {
			return
		}
		if time.Since(began) > 20*time.Second*slow {
			log, _ := os.ReadFile(n.path("agent.log"))
			n.t.Fatalf("%s was never written\n%s", path, tail(log))
		}
	}
}
