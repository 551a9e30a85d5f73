// Package capability decides which privileges of root a container's processes hold, and writes the calls that leave
// them exactly those. It knows the sets of capabilities(7); it refuses to know which system calls they open (seccomp)
// and who the user is (rootfs).
//
// The default list is short: what a server needs that starts as root, serves a low port, changes owners and then drops
// to its own user. Not in it, though older engines have them: MKNOD (device rules stand between a
// container and the disk, and few need nodes at all), NET_RAW (forged packets; for ping, sysctls: {net.ipv4.ping_group_range: "0 65535"} does), AUDIT_WRITE
// (forged audit records) and SETFCAP (only package managers need it). A manifest adds what it needs.
package capability

import (
	"fmt"
	"io/fs"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Set is a set of capabilities: bit n is capability number n.
type Set uint64

// Default is the list of a container whose manifest adds and drops nothing.
var Default = Of(
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_NET_BIND_SERVICE,
	unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_SETUID, unix.CAP_SYS_CHROOT,
)

// Of is the set of the given numbers, unix.CAP_*.
func Of(numbers ...int) (s Set) {
	for _, n := range numbers {
		s |= 1 << n
	}
	return s
}

// UpTo is the set of all capabilities from 0 to last.
func UpTo(last int) Set { return 1<<(last+1) - 1 }

// Has tells whether capability number n is in the set.
func (s Set) Has(n int) bool { return s>>n&1 == 1 }

// String lists the names without CAP_, in the order of their numbers, joined by commas; one without a name is its number.
func (s Set) String() string {
	var names []string
	for rest := s; rest != 0; rest &= rest - 1 {
		names = append(names, name(bits.TrailingZeros64(uint64(rest))))
	}
	return strings.Join(names, ",")
}

func name(n int) string {
	if n < len(spec.CapabilityNames) {
		return spec.CapabilityNames[n]
	}
	return fmt.Sprint(n)
}

// parse is the set of the names; ALL is all.
func parse(names []string, all Set) (s Set, err error) {
	for _, name := range names {
		if name == spec.CapabilityAll {
			s |= all
			continue
		}
		n := slices.Index(spec.CapabilityNames, name)
		if n < 0 {
			return 0, fmt.Errorf("cannot use capability %q: no such name in capabilities(7): %w", name, fs.ErrInvalid)
		}
		s |= Of(n)
	}
	return s, nil
}
