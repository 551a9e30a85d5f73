package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// deviceList is what a v1 devices cgroup keeps: a default, and exceptions from it (cgroup-v1/devices.rst).
type deviceList struct {
	allow      bool
	exceptions map[devices]access
}

// ErrHole is the lack of a way to say in a v1 list what rules say: an exception from an exception.
var ErrHole = fmt.Errorf("a v1 device list cannot take devices out of a range: %w", errors.ErrUnsupported)

// newDeviceList turns rules into a list that gives the same verdicts.
func newDeviceList(rules []deviceRule) (deviceList, error) {
	l := deviceList{exceptions: map[devices]access{}}
	for _, r := range rules {
		if r.everything() {
			l = deviceList{r.allow, map[devices]access{}}
			continue
		}
		for _, d := range r.kinds() {
			if err := l.add(d, r.access, r.allow); err != nil {
				return deviceList{}, err
			}
		}
	}
	if !l.allow {
		l.join()
	}
	return l, nil
}

// kinds are the devices of each kind by themselves: to v1, a means everything whatever follows it.
func (d devices) kinds() []devices {
	if d.kind != 'a' {
		return []devices{d}
	}
	return []devices{{'b', d.major, d.minor}, {'c', d.major, d.minor}}
}

func (l deviceList) add(d devices, a access, allow bool) error {
	if allow != l.allow {
		l.exceptions[d] |= a
		return nil
	}
	for other, have := range l.exceptions {
		switch both, meet := d.and(other); {
		case !meet || have&a == 0:
		case both != other:
			return ErrHole
		case have&^a == 0:
			delete(l.exceptions, other)
		default:
			l.exceptions[other] = have &^ a
		}
	}
	return nil
}

// and are the devices that are among both.
func (d devices) and(other devices) (devices, bool) {
	number := func(a, b int64) (int64, bool) {
		if a == anyNumber {
			return b, true
		}
		return a, b == anyNumber || a == b
	}
	major, ok1 := number(d.major, other.major)
	minor, ok2 := number(d.minor, other.minor)
	return devices{d.kind, major, minor}, ok1 && ok2 && d.kind == other.kind
}

// join makes exceptions for devices that are to be read by one exception and written by another: the kernel wants all of an access in one
// (security/device_cgroup.c, match_exception).
func (l deviceList) join() {
	for again := true; again; {
		again = false
		for _, one := range slices.Collect(maps.Keys(l.exceptions)) {
			for _, other := range slices.Collect(maps.Keys(l.exceptions)) {
				both, meet := one.and(other)
				want := (l.exceptions[one] | l.exceptions[other]) &^ accessMknod // which is never asked for with others
				if meet && !l.permits(both, want) {
					l.exceptions[both] |= want
					again = true
				}
			}
		}
	}
}

// permits is the kernel's verdict.
func (l deviceList) permits(d devices, a access) bool {
	for other, have := range l.exceptions {
		both, meet := d.and(other)
		switch {
		case !meet:
		case l.allow && have&a != 0:
			return false
		case !l.allow && both == d && a&^have == 0:
			return true
		}
	}
	return l.allow
}

// setDeviceList brings a group's list from what it is to what it is to be. What both allow is allowed all the time.
func (g *Group) setDeviceList(h hierarchy, l deviceList) error {
	text, err := h.read(g.path + "/devices.list")
	if err != nil {
		return err
	}
	for _, w := range l.after(parseDeviceList(text)) {
		if err := h.write(g.path+"/"+w[0], w[1]); err != nil {
			return err
		}
	}
	return nil
}

// after are the files to be written, and what, when the list was another one.
func (l deviceList) after(before deviceList) (writes [][2]string) {
	const allow, deny = "devices.allow", "devices.deny"
	sorted := func(exceptions map[devices]access) []devices {
		all := slices.Collect(maps.Keys(exceptions))
		sort.Slice(all, func(i, j int) bool { return all[i].String() < all[j].String() })
		return all
	}
	if l.allow {
		writes = append(writes, [2]string{allow, "a"}) // what is denied does not show, so it is said anew
		for _, d := range sorted(l.exceptions) {
			writes = append(writes, [2]string{deny, d.String() + " " + l.exceptions[d].String()})
		}
		return writes
	}
	if before.allow {
		writes, before.exceptions = append(writes, [2]string{deny, "a"}), nil
	}
	for _, d := range sorted(l.exceptions) {
		if more := l.exceptions[d] &^ before.exceptions[d]; more != 0 {
			writes = append(writes, [2]string{allow, d.String() + " " + more.String()})
		}
	}
	for _, d := range sorted(before.exceptions) {
		if less := before.exceptions[d] &^ l.exceptions[d]; less != 0 {
			writes = append(writes, [2]string{deny, d.String() + " " + less.String()})
		}
	}
	return writes
}

// String is the devices as the list has them: c 1:3.
func (d devices) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	return string(rune(d.kind)) + " " + number(d.major) + ":" + number(d.minor)
}

// parseDeviceList reads devices.list. Of a list that allows by default it has only that.
func parseDeviceList(text string) deviceList {
	l := deviceList{exceptions: map[devices]access{}}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if f[0] == "a" {
			return deviceList{allow: true}
		}
		major, minor, _ := strings.Cut(f[1], ":")
		l.exceptions[devices{f[0][0], parseDeviceNumber(major), parseDeviceNumber(minor)}] = parseAccess(f[2])
	}
	return l
}

func parseDeviceNumber(text string) int64 {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return int64(n)
	}
	return anyNumber
}
