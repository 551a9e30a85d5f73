package process_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Each measures the time from clone3 to the reaped end of a small static binary: as it is, in six new namespaces,
// and the same from a large heap.
func BenchmarkStart(b *testing.B) {
	ballast := [][]byte{}
	for _, bench := range []struct {
		name       string
		namespaces uint64
		heap       int // MiB
	}{
		{"bare", 0, 0},
		{"namespaces", allNamespaces, 0},
		{"namespaces from 64 MiB", allNamespaces, 64},
	} {
		for range bench.heap {
			block := make([]byte, 1<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			ballast = append(ballast, block)
		}
		b.Run(bench.name, func(b *testing.B) {
			p := &process.Program{Clone: bench.namespaces}
			exec(p, "/bin/busybox", "true")
			b.ReportAllocs()
			for b.Loop() {
				startAndReap(b, p)
			}
		})
	}
	if len(ballast) != 64 {
		b.Fatal("no ballast")
	}
}

func startAndReap(b *testing.B, p *process.Program) {
	child, err := process.Start(p, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := process.Reap(child.Pidfd); err != nil {
		b.Fatal(err)
	}
	_ = child.Pidfd.Close()
}

// A program as long as a container's, until its last op fails: what the ops themselves cost.
func BenchmarkOps(b *testing.B) {
	p := &process.Program{}
	for range 200 {
		p.Call("ask", "", unix.SYS_GETPPID)
	}
	p.Call("end", "", noSuchCall)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := process.Start(p, nil); err == nil {
			b.Fatal("no error")
		}
	}
}
