package seccomp

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
)

var update = flag.Bool("update", false, "write testdata/denied.txt anew")

// The calls that the default policy denies whatever their arguments, one a line. A new version of the tables adds calls
// to it: until then they are unknown and fail with ENOSYS, from then on with EPERM, so each wants a decision.
func TestDeniedCalls(t *testing.T) {
	const golden = "testdata/denied.txt"
	var got strings.Builder
	p := Default(capability.Default)
	for _, arch := range natives {
		for _, name := range slices.Sorted(maps.Keys(arch.Calls)) {
			named := slices.ContainsFunc(p.Rules, func(r Rule) bool { return slices.Contains(r.Calls, name) })
			if !named {
				fmt.Fprintln(&got, arch.Name, name)
			}
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the denied calls are not those of %s: decide, then run go test -update\ngot:\n%s", golden, got.String())
	}
}

// A call granted by a capability is not given to everybody as well.
func TestGrantsAreNeeded(t *testing.T) {
	for _, g := range granted {
		for _, name := range g.calls {
			if slices.Contains(ordinary, name) {
				t.Errorf("%s is granted by %v and to everybody", name, g.by)
			}
		}
	}
}
