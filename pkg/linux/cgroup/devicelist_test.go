package cgroup

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// verdictOf is what rules mean: each bit of an access by itself, by the last rule that fits.
func verdictOf(rules []deviceRule, d devices, a access) bool {
	for bit := accessMknod; bit <= accessWrite; bit <<= 1 {
		if a&bit == 0 {
			continue
		}
		allowed := false
		for _, r := range rules {
			if _, meet := (devices{d.kind, r.major, r.minor}).and(d); meet && (r.kind == 'a' || r.kind == d.kind) && r.access&bit != 0 {
				allowed = r.allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

// runDevices is the kernel's interpreter for the instructions that device programs use.
func runDevices(t *testing.T, program []instruction, d devices, a access) bool {
	registers := [11]uint64{}
	memory := map[int16]uint32{0: uint32(a)<<16 | map[byte]uint32{'b': 1, 'c': 2}[d.kind], 4: uint32(d.major), 8: uint32(d.minor)}
	for at := 0; ; at++ {
		i := program[at]
		dst, imm := &registers[i.dst], uint64(int64(i.imm))
		jump := false
		switch i.code {
		case 0x61: // ldxw
			*dst = uint64(memory[i.offset])
		case 0xbf: // mov
			*dst = registers[i.src]
		case 0xb7:
			*dst = imm
		case 0x57: // and
			*dst &= imm
		case 0x77: // rsh
			*dst >>= imm
		case 0x56: // jne32
			jump = uint32(*dst) != uint32(imm)
		case 0x55: // jne
			jump = *dst != imm
		case 0x45: // jset
			jump = *dst&imm != 0
		case 0x05: // ja
			jump = true
		case 0x95: // exit
			return registers[0] == 1
		default:
			t.Fatalf("instruction %#x", i.code)
		}
		if jump {
			at += int(i.offset)
		}
	}
}

// accesses are all that the kernel asks for: nodes are made by themselves.
var accesses = []access{accessMknod, accessRead, accessWrite, accessRead | accessWrite}

// Rules, the program and the v1 list of them have the same verdicts, for rules with few numbers, so that they meet. Lists that cannot be are
// refused, and the ordinary ones are not.
func TestDeviceVerdicts(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	number := func() int64 { return []int64{anyNumber, 1, 2, 1<<32 - 1}[random.IntN(4)] }
	lists, holes := 0, 0
	for range 20_000 {
		rules := []deviceRule{{false, devices{'a', anyNumber, anyNumber}, accessAll}}
		for range random.IntN(6) {
			rules = append(rules, deviceRule{random.IntN(3) > 0, devices{"abc"[random.IntN(3)], number(), number()}, access(1 + random.IntN(7))})
		}
		program := deviceProgram(rules)
		list, err := newDeviceList(rules)
		if errors.Is(err, ErrHole) {
			holes++
		} else {
			lists++
		}
		for _, d := range []devices{{'b', 1, 1}, {'b', 1, 2}, {'c', 1, 1}, {'c', 2, 1}, {'c', 1<<32 - 1, 2}, {'c', 3, 3}} {
			for _, a := range accesses {
				want := verdictOf(rules, d, a)
				if got := runDevices(t, program, d, a); got != want {
					t.Fatalf("program of %+v for %v of %v: %v, want %v", rules, a, d, got, want)
				}
				if err == nil && list.permits(d, a) != want {
					t.Fatalf("list %+v of %+v for %v of %v: %v, want %v", list, rules, a, d, !want, want)
				}
			}
		}
	}
	if lists < 1000 || holes < 1000 {
		t.Errorf("%d lists, %d that cannot be", lists, holes)
	}
}

// Writing what a list lacks brings any list to any other, and what both allow is never denied in between.
func TestDeviceListTransitions(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	list := func() deviceList {
		l := deviceList{exceptions: map[devices]access{}}
		for range random.IntN(4) {
			l.exceptions[devices{"bc"[random.IntN(2)], int64(random.IntN(2)), anyNumber}] = access(1 + random.IntN(7))
		}
		return l
	}
	for range 5000 {
		before, after := list(), list()
		now := deviceList{exceptions: map[devices]access{}}
		for d, a := range before.exceptions {
			now.exceptions[d] = a
		}
		for _, w := range after.after(before) {
			d, a := parseException(t, w[1])
			if w[0] == "devices.allow" {
				now.exceptions[d] |= a
			} else if now.exceptions[d] &^= a; now.exceptions[d] == 0 {
				delete(now.exceptions, d)
			}
			for d, a := range before.exceptions {
				if both := a & after.exceptions[d]; both&^now.exceptions[d] != 0 {
					t.Fatalf("from %v to %v, after %v: %v is denied", before, after, w, d)
				}
			}
		}
		for d, a := range after.exceptions {
			if now.exceptions[d] != a {
				t.Fatalf("from %v to %v: %v", before, after, now)
			}
		}
		if len(now.exceptions) != len(after.exceptions) {
			t.Fatalf("from %v to %v: %v", before, after, now)
		}
	}
	fresh := deviceList{exceptions: map[devices]access{{'c', 1, 3}: accessAll}}.after(parseDeviceList("a *:* rwm\n"))
	if want := [][2]string{{"devices.deny", "a"}, {"devices.allow", "c 1:3 rwm"}}; !slices.Equal(fresh, want) {
		t.Errorf("a new group gets %q, want %q", fresh, want)
	}
	open := deviceList{allow: true, exceptions: map[devices]access{{'b', 8, anyNumber}: accessWrite}}.after(parseDeviceList("c 1:3 rwm\n"))
	if want := [][2]string{{"devices.allow", "a"}, {"devices.deny", "b 8:* w"}}; !slices.Equal(open, want) {
		t.Errorf("one that allows by default gets %q, want %q", open, want)
	}
}

func parseException(t *testing.T, text string) (devices, access) {
	for d, a := range parseDeviceList(text).exceptions {
		return d, a
	}
	t.Fatalf("no exception: %q", text)
	return devices{}, 0
}

func TestDeviceRulesOfAContainer(t *testing.T) {
	said := spec.ContainerSpec{Devices: []spec.Device{
		{Path: "/dev/mine", Source: "/dev/null", Access: "r"},
		{Path: "/dev/other", Type: spec.DeviceBlock, Major: spec.NewNumber(8), Minor: spec.NewNumber(0)},
		{Path: "/dev/pipe", Type: spec.DevicePipe},
	}}
	rules, err := DeviceRules(said)
	if err != nil || len(rules) != len(spec.DefaultDeviceRules)+2 {
		t.Fatalf("%+v, %v", rules, err)
	}
	if got, want := rules[len(rules)-2], (spec.DeviceRule{Allow: true, Type: "c", Major: spec.NewNumber(1), Minor: spec.NewNumber(3), Access: "r"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	said.DeviceRules = []spec.DeviceRule{{Allow: true}}
	rules, err = DeviceRules(said)
	made := slices.DeleteFunc(rules[1:], func(r spec.DeviceRule) bool { return r.Access == "m" && !r.Minor.IsZero() })
	if err != nil || rules[0] != said.DeviceRules[0] || len(made) > 0 {
		t.Errorf("said rules: %+v, %v", rules, err)
	}
	said.Base = spec.BaseNone
	if rules, err := DeviceRules(said); err != nil || !slices.Equal(rules, said.DeviceRules) {
		t.Errorf("said rules without a base: %+v, %v", rules, err)
	}
	for _, d := range []spec.Device{{Path: "/dev/nosuch"}, {Path: "/etc/passwd"}} {
		if _, err := DeviceRules(spec.ContainerSpec{Devices: []spec.Device{d}}); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", d.Path, err)
		}
	}
	if len(spec.DefaultDeviceRules) != 11 {
		t.Error("the default rules have changed")
	}
	if _, err := deviceRules(make([]spec.DeviceRule, 1001)); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("too many rules: %v", err)
	}
	for _, bad := range []spec.DeviceRule{{Type: "x"}, {Access: "q"}, {Major: spec.NewNumber(1 << 32)}} {
		if _, err := deviceRules([]spec.DeviceRule{bad}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
