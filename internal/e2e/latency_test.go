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
	n := newNode(b)
	n.start()
	shared := n.path("shared")
	if err := os.Mkdir(shared, 0o777); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for i := range b.N {
		name := fmt.Sprintf("drop-%d", i)
		text := manifest(name, "echo up > /shared/"+name+"; exec sleep 1000",
			fmt.Sprintf("  mounts: [{type: bind, source: %s, destination: /shared, options: [rw]}]\n  stop: {timeout: 0.1s}\n", shared))
		began := time.Now()
		n.put(name+".yaml", text)
		n.written(filepath.Join(shared, name), 0)
		took = append(took, time.Since(began))
		n.remove(name + ".yaml")
		n.gone(name)
	}
	report(b, took)
}

// BenchmarkRestart is the time from the death of a process to the first write of its successor, when it is the first restart.
func BenchmarkRestart(b *testing.B) {
	n := newNode(b)
	n.start()
	shared := n.path("shared")
	if err := os.Mkdir(shared, 0o777); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for i := range b.N {
		name := fmt.Sprintf("restart-%d", i)
		n.put(name+".yaml", manifest(name, "echo up >> /shared/"+name+"; exec sleep 1000",
			fmt.Sprintf("  mounts: [{type: bind, source: %s, destination: /shared, options: [rw]}]\n  stop: {timeout: 0.1s}\n", shared)))
		n.written(filepath.Join(shared, name), 0)
		object := n.phase(name, spec.PhaseRunning)
		began := time.Now()
		if err := unix.Kill(object.Status.Container.Pid, unix.SIGKILL); err != nil {
			b.Fatal(err)
		}
		n.written(filepath.Join(shared, name), int64(len("up\n")))
		took = append(took, time.Since(began))
		n.remove(name + ".yaml")
		n.gone(name)
	}
	report(b, took)
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

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
