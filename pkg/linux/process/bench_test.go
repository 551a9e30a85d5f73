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

// A parked start that is not made to wait, and one that is reborn, against a plain one of the same program.
func BenchmarkParked(b *testing.B) {
	for _, bench := range []struct {
		name       string
		namespaces uint64
		ops        int
	}{{"bare", 0, 0}, {"200 ops", 0, 200}, {"namespaces", allNamespaces, 0}} {
		build := func(park bool) *process.Program {
			p := &process.Program{Clone: bench.namespaces}
			if park {
				p.Park()
			}
			for range bench.ops {
				p.Call("ask", "", unix.SYS_GETPPID)
			}
			exec(p, "/bin/busybox", "true")
			return p
		}
		b.Run(bench.name+" plain", func(b *testing.B) {
			p := build(false)
			for b.Loop() {
				startAndReap(b, p)
			}
		})
		b.Run(bench.name+" parked", func(b *testing.B) {
			p := build(true)
			for b.Loop() {
				parkAndReap(b, p)
			}
		})
		if bench.namespaces != 0 { // an init has no sisters
			continue
		}
		b.Run(bench.name+" reborn", func(b *testing.B) {
			p := build(true)
			last := p.Ops[len(p.Ops)-1]
			p.Ops = p.Ops[:len(p.Ops)-1]
			p.Reborn()
			p.Ops = append(p.Ops, last)
			for b.Loop() {
				parkAndReap(b, p)
			}
		})
	}
}

func parkAndReap(b *testing.B, p *process.Program) {
	child, err := process.StartParked(p, nil)
	if err == nil {
		err = child.Wait(b.Context())
	}
	if err == nil {
		_, err = process.Reap(child.Pidfd)
	}
	if err != nil {
		b.Fatal(err)
	}
	_ = child.Pidfd.Close()
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
