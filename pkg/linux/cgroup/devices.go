package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// access is a set of what can be done with a device, in the bits of BPF_DEVCG_ACC_* (linux/bpf.h).
type access uint8

const (
	accessMknod access = 1 << iota
	accessRead
	accessWrite

	accessAll = accessMknod | accessRead | accessWrite
)

// String is the letters as v1 prints them.
func (a access) String() (s string) {
	for _, letter := range []struct {
		access
		string
	}{{accessRead, "r"}, {accessWrite, "w"}, {accessMknod, "m"}} {
		if a&letter.access != 0 {
			s += letter.string
		}
	}
	return s
}

// deviceRule is a rule of a manifest in numbers.
type deviceRule struct {
	allow bool
	devices
	access access
}

// devices are those of a kind and with numbers; anyNumber stands for each.
type devices struct {
	kind         byte // 'b', 'c', or 'a' for both
	major, minor int64
}

const anyNumber = -1

// everything tells a rule that leaves nothing of those before it.
func (r deviceRule) everything() bool {
	return r.devices == devices{'a', anyNumber, anyNumber} && r.access == accessAll
}

// maxDeviceRules bounds what the kernel has to check: a thousand take it 0.2 s, the default ones 0.2 ms, and that only once.
const maxDeviceRules = 1000

// deviceRules reads rules. Those before one about everything are left out.
func deviceRules(said []spec.DeviceRule) ([]deviceRule, error) {
	if len(said) > maxDeviceRules {
		return nil, fmt.Errorf("%d device rules are more than %d: %w", len(said), maxDeviceRules, fs.ErrInvalid)
	}
	rules := []deviceRule{{false, devices{'a', anyNumber, anyNumber}, accessAll}}
	for _, s := range said {
		r := deviceRule{allow: s.Allow, devices: devices{'a', deviceNumber(s.Major), deviceNumber(s.Minor)}, access: accessAll}
		if s.Type != "" {
			r.kind = s.Type[0]
		}
		if s.Access != "" {
			r.access = parseAccess(s.Access)
		}
		if len(s.Type) > 1 || r.kind != 'a' && r.kind != 'b' && r.kind != 'c' || r.access == 0 || r.major > 1<<32-1 || r.minor > 1<<32-1 {
			return nil, fmt.Errorf("bad device rule %+v: %w", s, fs.ErrInvalid)
		}
		if r.everything() {
			rules = nil
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func deviceNumber(n spec.Number) int64 {
	if n.IsZero() {
		return anyNumber
	}
	return int64(n.Value())
}

// parseAccess reads letters; 0 when there are others.
func parseAccess(text string) (a access) {
	for _, letter := range text {
		switch letter {
		case 'r':
			a |= accessRead
		case 'w':
			a |= accessWrite
		case 'm':
			a |= accessMknod
		default:
			return 0
		}
	}
	return a
}

// DeviceRules are a container's: the default ones and its devices' or, in place of those, what it says. With base Standard its nodes, which a start makes
// inside the cgroup, may be made whatever it says.
func DeviceRules(s spec.ContainerSpec) ([]spec.DeviceRule, error) {
	if len(s.DeviceRules) > 0 && s.Base == spec.BaseNone {
		return s.DeviceRules, nil
	}
	own, err := rulesOf(s.Devices)
	if err != nil || len(s.DeviceRules) == 0 {
		return slices.Concat(spec.DefaultDeviceRules, own), err
	}
	rules := slices.Clone(s.DeviceRules)
	for _, r := range slices.Concat(spec.DefaultDeviceRules, own) {
		if r.Allow && !r.Minor.IsZero() {
			r.Access = "m"
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// rulesOf are those that let a container use its devices.
func rulesOf(said []spec.Device) (rules []spec.DeviceRule, err error) {
	for _, d := range said {
		full, err := ResolveDevice(d)
		if err != nil {
			return nil, err
		}
		if full.Type == spec.DevicePipe {
			continue
		}
		rules = append(rules, spec.DeviceRule{Allow: true, Type: spec.DeviceRuleType(full.Type), Major: full.Major, Minor: full.Minor, Access: full.Access})
	}
	return rules, nil
}

// ResolveDevice says everything of a device that a manifest leaves to the node: type, numbers and mode are those of its source.
func ResolveDevice(d spec.Device) (spec.Device, error) {
	if d.Access == "" {
		d.Access = "rwm"
	}
	if d.Source == "" {
		d.Source = d.Path
	}
	mode := uint32(0o666)
	if d.Type == "" {
		var st unix.Stat_t
		if err := unix.Stat(d.Source, &st); err != nil {
			return d, fmt.Errorf("cannot give the container %s: %w", d.Path, &os.PathError{Op: "stat", Path: d.Source, Err: err})
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			d.Type = spec.DeviceChar
		case unix.S_IFBLK:
			d.Type = spec.DeviceBlock
		default:
			return d, fmt.Errorf("cannot give the container %s: %s is no device: %w", d.Path, d.Source, fs.ErrInvalid)
		}
		d.Major, d.Minor = spec.NewNumber(uint64(unix.Major(st.Rdev))), spec.NewNumber(uint64(unix.Minor(st.Rdev)))
		mode = st.Mode & 0o777
	}
	if d.Mode == "" {
		d.Mode = fmt.Sprintf("%04o", mode)
	}
	return d, nil
}

// SetDevices makes the devices that processes of the group may use exactly those of the rules: what is done to one counts bit by bit, by
// the last rule that fits, and what none fits is denied. Without rules, all is. The change is one step for running processes; what they
// have open stays open.
//
// A program in the unified hierarchy does it, on hybrid hosts as well: it can say everything, costs a start less than a further hierarchy,
// and is replaced at once. A group that is in a v1 devices hierarchy, as engines expect it of OCI containers, has a list there; lists
// cannot take single devices out of a range, and where that is asked for, the list allows everything and the program decides. Without
// programs in the kernel, a group is taken into the v1 hierarchy.
func (g *Group) SetDevices(said []spec.DeviceRule) error {
	rules, err := deviceRules(said)
	if err == nil {
		err = g.setDevices(rules)
	}
	if err == nil {
		g.fresh.devices = false
	}
	if err != nil {
		return fmt.Errorf("cannot set the devices of %s: %w", g, err)
	}
	return nil
}

func (g *Group) setDevices(rules []deviceRule) error {
	list, listErr := newDeviceList(rules)
	h, isV1 := g.parent.hierarchyOf("devices")
	if isV1 && !h.optional {
		if listErr == nil {
			return errors.Join(g.setDeviceList(h, list), g.detachDevices())
		}
		return errors.Join(g.setDeviceList(h, deviceList{allow: true}), g.attachDevices(rules))
	}
	err := g.attachDevices(rules)
	if isV1 && errors.Is(err, errors.ErrUnsupported) {
		if err := errors.Join(listErr, g.includeIn("devices")); err != nil {
			return err
		}
		return g.setDeviceList(h, list)
	}
	return err
}
