package feature_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

func TestEveryFeatureExplainsItself(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range feature.All() {
		if f.Name == "" || f.Purpose == "" || f.Remedy == "" || strings.Contains(f.Remedy, "\n") {
			t.Errorf("%+v: want a name, a purpose and a remedy of one line", f)
		}
		if seen[f.Name] {
			t.Errorf("%s: named twice", f.Name)
		}
		seen[f.Name] = true
		if found, ok := feature.Lookup(f.Name); !ok || found != f {
			t.Errorf("Lookup(%q) = %v, %v", f.Name, found, ok)
		}
	}
	if _, ok := feature.Lookup("telepathy"); ok {
		t.Error("Lookup finds what there is not")
	}
}

// On any kernel of the floor or newer, run with privileges, every probe gives an answer, and a lack has a reason.
// An open parent has controllers handed down, where the root of cgroup2 did not do that before.
func TestEveryProbeAnswers(t *testing.T) {
	kerneltest.Cgroups(t)
	for _, f := range feature.All() {
		t.Run(f.Name, func(t *testing.T) {
			kerneltest.Require(t, f)
			if again := f.Probe(); again != nil {
				t.Errorf("the second answer is %v", again)
			}
		})
	}
}

func TestProbesLeaveNoTrace(t *testing.T) {
	tree := kerneltest.Tree(t)
	points := []string{tree.Unified}
	for _, point := range tree.V1 {
		points = append(points, point)
	}
	kerneltest.Cgroups(t)
	for _, f := range feature.All() {
		_ = f.Probe()
	}
	for _, point := range points {
		entries, err := os.ReadDir(point)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "reconciler-probe-") {
				t.Errorf("a probe left %s/%s", point, e.Name())
			}
		}
	}
}

func TestUnsupportedErrorSaysWhatHelps(t *testing.T) {
	tests := []struct {
		err  *feature.UnsupportedError
		want string
	}{
		{&feature.UnsupportedError{Feature: "cgroup.kill", Since: "5.14", Remedy: "run a newer kernel"}, "cgroup.kill is not supported: it needs Linux 5.14\nhint: run a newer kernel"},
		{&feature.UnsupportedError{Feature: "overlay", Since: "5.2", Reason: "built out"}, "overlay is not supported: built out"},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
		if !errors.Is(fmt.Errorf("cannot start: %w", test.err), errors.ErrUnsupported) {
			t.Errorf("%v is not errors.ErrUnsupported", test.err)
		}
	}
}
