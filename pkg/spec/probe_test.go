package spec_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// No probe has no defaults; one that is said has those of its kind alone, and what it says itself stays.
func TestProbeDefaults(t *testing.T) {
	second := spec.Duration(time.Second)
	usual := func(p spec.Probe) spec.Probe {
		p.Period, p.Timeout, p.FailureThreshold, p.SuccessThreshold = 10*second, second, 3, 1
		return p
	}
	for name, c := range map[string]struct{ said, want spec.Probe }{
		"http": {
			spec.Probe{HTTP: &spec.HTTPProbe{Port: 80}},
			usual(spec.Probe{HTTP: &spec.HTTPProbe{Port: 80, Path: "/", Scheme: spec.SchemeHTTP, Address: "127.0.0.1"}}),
		},
		"tcp":  {spec.Probe{TCP: &spec.TCPProbe{Port: 80, Address: "::1"}}, usual(spec.Probe{TCP: &spec.TCPProbe{Port: 80, Address: "::1"}})},
		"grpc": {spec.Probe{GRPC: &spec.GRPCProbe{Port: 80}}, usual(spec.Probe{GRPC: &spec.GRPCProbe{Port: 80, Address: "127.0.0.1"}})},
		"exec": {spec.Probe{Exec: &spec.ExecProbe{Command: []string{"x"}}}, usual(spec.Probe{Exec: &spec.ExecProbe{Command: []string{"x"}}})},
		"all said": {
			spec.Probe{TCP: &spec.TCPProbe{Port: 1, Address: "::1"}, Period: 2, Timeout: 3, InitialDelay: 4, FailureThreshold: 5, SuccessThreshold: 6},
			spec.Probe{TCP: &spec.TCPProbe{Port: 1, Address: "::1"}, Period: 2, Timeout: 3, InitialDelay: 4, FailureThreshold: 5, SuccessThreshold: 6},
		},
	} {
		before := spec.Canonical(spec.Container{Spec: spec.ContainerSpec{Probes: spec.Probes{Liveness: &c.said}}})
		if got := c.said.Defaulted(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
		if after := spec.Canonical(spec.Container{Spec: spec.ContainerSpec{Probes: spec.Probes{Liveness: &c.said}}}); string(after) != string(before) {
			t.Errorf("%s: what was said has become %s", name, after)
		}
	}
	var none *spec.Probe
	if got := none.Defaulted(); got != (spec.Probe{}) {
		t.Errorf("no probe has defaults: %+v", got)
	}
}
