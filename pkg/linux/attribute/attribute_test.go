package attribute

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A row that Early resets has a reset, and no other row has.
func TestTable(t *testing.T) {
	for _, row := range Table {
		if (row.How == ByEarly) != (row.reset != nil) {
			t.Errorf("%s is given %s, but has a reset: %v", row.Name, row.How, row.reset != nil)
		}
	}
}

func TestDefaultsAreInOrder(t *testing.T) {
	if len(defaults) != len(spec.RlimitNames) {
		t.Fatalf("%d defaults for %d limits", len(defaults), len(spec.RlimitNames))
	}
	for n, l := range defaults {
		if l.Resource != n {
			t.Errorf("default %d is of %d", n, l.Resource)
		}
	}
}

func TestRlimits(t *testing.T) {
	rich := Ceilings{Raise: true, NrOpen: 1 << 20}
	poor := Ceilings{NrOpen: 1 << 20}
	for n := range poor.Hard {
		rich.Hard[n], poor.Hard[n] = unlimited, unlimited
	}
	poor.Hard[unix.RLIMIT_NOFILE], poor.Hard[unix.RLIMIT_MEMLOCK] = 20000, 64<<10
	rich.Hard[unix.RLIMIT_SIGPENDING] = 77
	small := rich
	small.NrOpen = 512
	for _, c := range []struct {
		what     string
		asked    spec.Rlimit
		ceilings Ceilings
		want     Rlimit
		err      error
	}{
		{"asked", spec.Rlimit{Soft: 10, Hard: 20}, rich, Rlimit{unix.RLIMIT_NOFILE, 10, 20}, nil},
		{"asked within", spec.Rlimit{Soft: 10, Hard: 20000}, poor, Rlimit{unix.RLIMIT_NOFILE, 10, 20000}, nil},
		{"asked beyond", spec.Rlimit{Soft: 10, Hard: 20001}, poor, Rlimit{}, errors.ErrUnsupported},
		{"unlimited files", spec.Rlimit{Soft: -1, Hard: -1}, rich, Rlimit{}, errors.ErrUnsupported},
		{"default", spec.Rlimit{}, rich, Rlimit{unix.RLIMIT_NOFILE, 1024, 524288}, nil},
		{"default, poor", spec.Rlimit{}, poor, Rlimit{unix.RLIMIT_NOFILE, 1024, 20000}, nil},
		{"default, nr_open below both", spec.Rlimit{}, small, Rlimit{unix.RLIMIT_NOFILE, 512, 512}, nil},
	} {
		asked := map[string]spec.Rlimit{"nofile": c.asked}
		if c.asked == (spec.Rlimit{}) {
			asked = nil
		}
		got, err := Rlimits(asked, c.ceilings)
		if !errors.Is(err, c.err) || err == nil && got[unix.RLIMIT_NOFILE] != c.want {
			t.Errorf("%s: got %v, %v, want %v, %v", c.what, got, err, c.want, c.err)
		}
	}
	got, err := Rlimits(nil, rich)
	if want := (Rlimit{unix.RLIMIT_SIGPENDING, 77, 77}); err != nil || got[unix.RLIMIT_SIGPENDING] != want {
		t.Errorf("sigpending: got %v, %v, want the keeper's", got[unix.RLIMIT_SIGPENDING], err)
	}
}

func TestEnviron(t *testing.T) {
	got := Environ(map[string]string{"B": "", "HOME": "/here", "A": "x=y"}, "/root", "web")
	want := []string{"A=x=y", "B=", "HOME=/here", "HOSTNAME=web", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=reconciler"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The order that the package comment demands.
func TestOrderOfLate(t *testing.T) {
	plan := Plan{
		Rlimits: []Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 1}}, UID: 1, Owner: 1,
		Capabilities: capability.Sets{Permitted: 1, Ambient: 1}, Seccomp: seccomp.Plan{Filter: seccomp.Filter{{}}}, Argv: []string{"x"}, Paths: []string{"/x"},
	}
	user := []string{"set additional groups", "set group", "set user", "set capabilities", "raise ambient capability"}
	before := []string{"set up stdio", "look at stdio", "give stdio to user", "set up stdio", "look at stdio", "give stdio to user", "set umask", "set rlimit", "reset securebits", "clear ambient capabilities", "drop capability", "keep capabilities"}
	for _, c := range []struct {
		newPrivs bool
		want     []string
	}{
		{false, slices.Concat(before, user, []string{"set no_new_privs", "close descriptors", "set seccomp filter", "execute"})},
		{true, slices.Concat(before, user, []string{"close descriptors", "set seccomp filter", "set capabilities", "execute"})},
	} {
		plan.NewPrivs = c.newPrivs
		var p process.Program
		Late(&p, plan, nil)
		var got []string
		for _, op := range p.Ops {
			got = append(got, op.Step)
		}
		got = slices.Compact(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("new privileges %v:\ngot  %q\nwant %q", c.newPrivs, got, c.want)
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}
