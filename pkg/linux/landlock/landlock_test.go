package landlock_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/landlock"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What a kernel cannot narrow is refused, or left out when the manifest allows that.
func TestABI(t *testing.T) {
	files := spec.Landlock{Execute: []string{"/"}}
	ports := spec.Landlock{TCPBind: &[]uint32{80}}
	scope := spec.Landlock{Scope: []string{"SIGNAL"}}
	for _, c := range []struct {
		what  string
		rules spec.Landlock
		abi   int
		says  string // "" for no error
	}{
		{"files", files, 0, "files by Landlock: that needs Linux 5.13"},
		{"files", files, 1, "Linux 5.19"},
		{"files", files, 2, "the truncation of files by Landlock: that needs Linux 6.2"},
		{"files", files, 4, "ioctls of devices by Landlock: that needs Linux 6.10"},
		{"files", files, 5, ""},
		{"ports", ports, 3, "TCP by Landlock: that needs Linux 6.7"},
		{"ports", ports, 4, ""},
		{"scope", scope, 5, "signals and sockets by Landlock: that needs Linux 6.12"},
		{"scope", scope, 6, ""},
		{"scope", scope, 99, ""},
	} {
		_, err := landlock.New(c.rules, c.abi)
		if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s with ABI %d: got %v", c.what, c.abi, err)
		}
		c.rules.BestEffort = true
		rules, err := landlock.New(c.rules, c.abi)
		if err != nil || rules.Empty() != (c.abi == 0 || c.what != "files" && c.says != "") {
			t.Errorf("%s with ABI %d at best effort: got %+v, %v", c.what, c.abi, rules, err)
		}
	}
	if _, err := landlock.New(spec.Landlock{ReadWrite: []string{"/"}}, 9); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no command could run: got %v", err)
	}
	if rules, err := landlock.New(spec.Landlock{}, 0); err != nil || !rules.Empty() {
		t.Errorf("nothing said: got %+v, %v", rules, err)
	}
}

// Every scope of the manifest's words has its bit, in their order.
func TestScopes(t *testing.T) {
	for i, word := range spec.LandlockScopes {
		rules, err := landlock.New(spec.Landlock{Scope: []string{word}}, 6)
		if err != nil || rules.Scope != 1<<i {
			t.Errorf("%s: %+v, %v", word, rules, err)
		}
	}
}

// With best effort on an old kernel, no rule holds a right that its rule set does not handle: the kernel would refuse it.
func TestRightsAreHandled(t *testing.T) {
	l := spec.Landlock{ReadOnly: []string{"/a"}, Execute: []string{"/b"}, ReadWrite: []string{"/c"}, TCPBind: &[]uint32{1}, TCPConnect: &[]uint32{2}, BestEffort: true}
	for abi := range 8 {
		rules, err := landlock.New(l, abi)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range rules.Paths {
			if p.Rights == 0 || p.Rights&^rules.Files != 0 {
				t.Errorf("ABI %d: %s has %#x of %#x", abi, p.Path, p.Rights, rules.Files)
			}
		}
		for _, p := range rules.Ports {
			if p.Rights == 0 || p.Rights&^rules.Net != 0 {
				t.Errorf("ABI %d: port %d has %#x of %#x", abi, p.Port, p.Rights, rules.Net)
			}
		}
	}
}

func TestAppend(t *testing.T) {
	rules, err := landlock.New(spec.Landlock{Execute: []string{"/bin"}, TCPBind: &[]uint32{80}}, 6)
	if err != nil {
		t.Fatal(err)
	}
	var p process.Program
	landlock.Append(&p, rules, 0)()
	var calls []uint32
	for _, op := range p.Ops {
		calls = append(calls, op.Nr)
	}
	want := []uint32{
		unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_OPENAT2, unix.SYS_DUP3, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_ADD_RULE,
		unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF,
	}
	if !slices.Equal(calls, want) || len(p.Ops[0].Args[0].Data) != 16 {
		t.Errorf("got\n%v", &p)
	}
	var none process.Program
	if landlock.Append(&none, landlock.Rules{}, 0)(); len(none.Ops) > 0 {
		t.Errorf("no rules: %v", none.Ops)
	}
}
