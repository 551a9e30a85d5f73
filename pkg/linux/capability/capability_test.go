package capability_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestNames(t *testing.T) {
	if n := len(spec.CapabilityNames); n != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, want one for each of %d capabilities", n, unix.CAP_LAST_CAP+1)
	}
	got := capability.Of(unix.CAP_CHOWN, unix.CAP_CHECKPOINT_RESTORE, 63).String()
	if want := "CHOWN,CHECKPOINT_RESTORE,63"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := capability.UpTo(63); got != ^capability.Set(0) {
		t.Errorf("UpTo(63) = %#x", uint64(got))
	}
}

func TestNewSets(t *testing.T) {
	all := capability.UpTo(unix.CAP_LAST_CAP)
	root := capability.Node{Have: all, Last: unix.CAP_LAST_CAP}
	poor := capability.Node{Have: all &^ capability.Of(unix.CAP_SYS_RESOURCE, unix.CAP_CHOWN), Last: unix.CAP_LAST_CAP}
	admin, bind := capability.Of(unix.CAP_NET_ADMIN), capability.Of(unix.CAP_NET_BIND_SERVICE)
	for _, c := range []struct {
		what string
		spec spec.Capabilities
		uid  uint32
		node capability.Node
		want capability.Sets
	}{
		{"root, nothing said", spec.Capabilities{}, 0, root, capability.Sets{Bounding: capability.Default, Permitted: capability.Default, Effective: capability.Default}},
		{"user, nothing said", spec.Capabilities{}, 1, root, capability.Sets{Bounding: capability.Default}},
		{"root adds", spec.Capabilities{Add: []string{"NET_ADMIN"}}, 0, root, capability.Sets{Bounding: capability.Default | admin, Permitted: capability.Default | admin, Effective: capability.Default | admin}},
		{"user adds", spec.Capabilities{Add: []string{"NET_BIND_SERVICE"}}, 1, root, capability.Sets{Bounding: capability.Default, Permitted: bind, Effective: bind, Inheritable: bind, Ambient: bind}},
		{"drop all", spec.Capabilities{Drop: []string{"ALL"}}, 0, root, capability.Sets{}},
		{"drop all, add one", spec.Capabilities{Drop: []string{"ALL"}, Add: []string{"NET_ADMIN"}}, 0, root, capability.Sets{Bounding: admin, Permitted: admin, Effective: admin}},
		{"drop and add the same: added", spec.Capabilities{Drop: []string{"KILL"}, Add: []string{"KILL"}}, 0, root, capability.Sets{Bounding: capability.Default, Permitted: capability.Default, Effective: capability.Default}},
		{"add all", spec.Capabilities{Add: []string{"ALL"}}, 0, root, capability.Sets{Bounding: all, Permitted: all, Effective: all}},
		{"add all where some are missing", spec.Capabilities{Add: []string{"ALL"}}, 0, poor, capability.Sets{Bounding: poor.Have, Permitted: poor.Have, Effective: poor.Have}},
		{"a default is missing", spec.Capabilities{}, 0, poor, capability.Sets{Bounding: capability.Default & poor.Have, Permitted: capability.Default & poor.Have, Effective: capability.Default & poor.Have}},
	} {
		if got, err := capability.NewSets(c.spec, c.uid, c.node); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.what, got, err, c.want)
		}
	}
	kill := []string{"KILL"}
	five := spec.Capabilities{Bounding: []string{"ALL"}, Permitted: []string{"KILL", "NET_ADMIN"}, Effective: []string{"NET_ADMIN"}, Inheritable: kill, Ambient: kill}
	for _, uid := range []uint32{0, 1000} {
		got, err := capability.NewSets(five, uid, poor)
		want := capability.Sets{
			Bounding: poor.Have, Permitted: admin | capability.Of(unix.CAP_KILL), Effective: admin,
			Inheritable: capability.Of(unix.CAP_KILL), Ambient: capability.Of(unix.CAP_KILL),
		}
		if err != nil || got != want {
			t.Errorf("five sets, uid %d: got %+v, %v, want %+v", uid, got, err, want)
		}
	}
	for what, bad := range map[string]spec.Capabilities{
		"both styles":                         {Add: kill, Bounding: kill},
		"ambient beyond inheritable":          {Bounding: kill, Permitted: kill, Ambient: kill},
		"effective beyond permitted":          {Bounding: kill, Effective: kill},
		"inheritable beyond the bounding set": {Inheritable: kill},
	} {
		if _, err := capability.NewSets(bad, 0, root); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := capability.NewSets(spec.Capabilities{Bounding: []string{"SYS_RESOURCE"}}, 0, poor); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("saying what the node lacks: got %v", err)
	}
	if known, rest := capability.Known([]string{"KILL", "CHOWN", "FLY"}, poor); !slices.Equal(known, kill) || !slices.Equal(rest, []string{"CHOWN", "FLY"}) {
		t.Errorf("known %v, rest %v", known, rest)
	}
	if _, err := capability.NewSets(spec.Capabilities{Add: []string{"SYS_RESOURCE"}}, 0, poor); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("adding what the node lacks: got %v", err)
	}
	if _, err := capability.NewSets(spec.Capabilities{Drop: []string{"CAP_KILL"}}, 0, root); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a name with CAP_: got %v", err)
	}
}

// Capabilities that are newer than this program are dropped by number.
func TestUnknownCapabilitiesAreDropped(t *testing.T) {
	var p process.Program
	capability.Before(&p, capability.Sets{Bounding: capability.UpTo(40)}, 42)
	var dropped []string
	for _, op := range p.Ops {
		if op.Step == "drop capability" {
			dropped = append(dropped, op.Path)
		}
	}
	if want := []string{"41", "42"}; !slices.Equal(dropped, want) {
		t.Errorf("dropped %v, want %v", dropped, want)
	}
}

// struct __user_cap_data_struct[2]: effective, permitted, inheritable of the low words, then of the high ones.
func TestCapsetLayout(t *testing.T) {
	var p process.Program
	capability.After(&p, capability.Sets{Permitted: capability.Of(0, 33), Effective: capability.Of(0), Inheritable: capability.Of(33), Ambient: capability.Of(33)})
	want := []uint32{1, 1, 0, 0, 2, 2}
	got := make([]uint32, 6)
	if _, err := binary.Decode(p.Ops[0].Args[1].Data, binary.NativeEndian, got); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %x, %v, want %x", got, err, want)
	}
}

func TestReadNode(t *testing.T) {
	node, err := capability.ReadNode(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if node.Last < unix.CAP_CHECKPOINT_RESTORE || node.Have&^capability.UpTo(node.Last) != 0 {
		t.Errorf("got %+v", node)
	}
	if os.Geteuid() == 0 && !node.Have.Has(unix.CAP_CHOWN) {
		t.Errorf("root without CHOWN: %v", node.Have)
	}
}
