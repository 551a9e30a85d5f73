package network_test

import (
	"fmt"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// BenchmarkAttach attaches a sandbox to a bridge that stands, and detaches it; making the sandbox is not counted.
func BenchmarkAttach(b *testing.B) {
	w := newWorld(b)
	w.container(b, "keeps-the-bridge", spec.Network{})
	s := space(b)
	for b.Loop() {
		if _, err := w.Attach(b.Context(), "web", s, spec.Network{Mode: spec.NetworkBridge}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := w.Detach(b.Context(), "web"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkDetach is the other half.
func BenchmarkDetach(b *testing.B) {
	w := newWorld(b)
	w.container(b, "keeps-the-bridge", spec.Network{})
	s := space(b)
	for b.Loop() {
		b.StopTimer()
		if _, err := w.Attach(b.Context(), "web", s, spec.Network{Mode: spec.NetworkBridge}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := w.Detach(b.Context(), "web"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAttachAgain asks for what is there.
func BenchmarkAttachAgain(b *testing.B) {
	w := newWorld(b)
	s, _ := w.container(b, "web", spec.Network{})
	for b.Loop() {
		if _, err := w.Attach(b.Context(), "web", s, spec.Network{Mode: spec.NetworkBridge}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish replaces a table of some ports by one of as many others.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b)
			w.container(b, "web", spec.Network{})
			var ports [2][]spec.Port
			for i := range n {
				ports[0] = append(ports[0], spec.Port{Host: 10000 + i, Container: 80})
				ports[1] = append(ports[1], spec.Port{Host: 20000 + i, Container: 80})
			}
			for i := 0; b.Loop(); i++ {
				if err := w.Publish(b.Context(), "web", ports[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublishMore adds a port to those that are there.
func BenchmarkPublishMore(b *testing.B) {
	w := newWorld(b)
	w.container(b, "web", spec.Network{})
	var ports []spec.Port
	for b.Loop() {
		ports = append(ports, spec.Port{Host: 10000 + len(ports), Container: 80})
		if err := w.Publish(b.Context(), "web", ports); err != nil {
			b.Fatal(err)
		}
	}
}
