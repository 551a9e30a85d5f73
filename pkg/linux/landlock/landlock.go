// Package landlock narrows which files, ports, sockets and processes a container's processes can reach, by rules they
// cannot lift. It knows rights, the kernels that have them, and landlock(7); it refuses to know mounts and privileges.
//
// New makes a value of the words of a manifest and what the kernel can do; Append writes it into a start.
package landlock

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Rules are a domain as a value: what it handles is refused, unless a path or port allows it.
type Rules struct {
	// Files, Net and Scope are the rights that are handled: LANDLOCK_ACCESS_FS_*, LANDLOCK_ACCESS_NET_*, LANDLOCK_SCOPE_*.
	Files, Net, Scope uint64
	Paths             []Path
	Ports             []Port
}

// Path allows rights on a path of the container and all that is below it.
type Path struct {
	Path   string // absolute, in the container
	Rights uint64 // LANDLOCK_ACCESS_FS_*
}

// Port allows rights on a port.
type Port struct {
	Port   uint32
	Rights uint64 // LANDLOCK_ACCESS_NET_*
}

// Rights on files.
const (
	read    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	execute = read | unix.LANDLOCK_ACCESS_FS_EXECUTE
	write   = all &^ unix.LANDLOCK_ACCESS_FS_EXECUTE
	all     = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV<<1 - 1
	// ofFile are those that a file which is no directory can have.
	ofFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	tcp = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
)

// step is what an ABI added.
type step struct {
	abi               int
	kernel            string
	files, net, scope uint64
}

// since tells from which ABI and kernel on rights are handled; see landlock(7), "VERSIONS".
var since = []step{
	{1, "5.13", unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1, 0, 0},
	{2, "5.19", unix.LANDLOCK_ACCESS_FS_REFER, 0, 0},
	{3, "6.2", unix.LANDLOCK_ACCESS_FS_TRUNCATE, 0, 0},
	{4, "6.7", 0, tcp, 0},
	{5, "6.10", unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, 0, 0},
	{6, "6.12", 0, 0, unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL},
}

// New are the rules that a manifest asks for, on a kernel with this ABI (feature.LandlockABI; 0 is none). What the kernel does not have is
// errors.ErrUnsupported, or left out with bestEffort. Errors are fs.ErrInvalid when the manifest must change.
func New(l spec.Landlock, abi int) (Rules, error) {
	if err := l.Check(); err != nil {
		return Rules{}, fmt.Errorf("cannot use landlock: %w: %w", err, fs.ErrInvalid)
	}
	rules, err := wanted(l)
	if err != nil {
		return Rules{}, err
	}
	for _, s := range since {
		if abi >= s.abi {
			continue
		}
		if rules.Files&s.files|rules.Net&s.net|rules.Scope&s.scope != 0 && !l.BestEffort {
			return Rules{}, fmt.Errorf("cannot narrow %s by Landlock: that needs Linux %s with CONFIG_SECURITY_LANDLOCK and without an lsm= that leaves it out (ABI %d, this has %d): %w\nhint: landlock.bestEffort: true goes without",
				s.what(rules), s.kernel, s.abi, abi, errors.ErrUnsupported)
		}
		rules = rules.without(s.files, s.net, s.scope)
	}
	return rules, nil
}

// what names what of the rules the step is about.
func (s step) what(r Rules) string {
	switch {
	case r.Files&s.files != 0 && s.files == unix.LANDLOCK_ACCESS_FS_TRUNCATE:
		return "the truncation of files"
	case r.Files&s.files != 0 && s.files == unix.LANDLOCK_ACCESS_FS_IOCTL_DEV:
		return "ioctls of devices"
	case r.Files&s.files != 0:
		return "files"
	case r.Net&s.net != 0:
		return "TCP"
	}
	return "signals and sockets"
}

// wanted are the rules on a kernel that has everything.
func wanted(l spec.Landlock) (r Rules, err error) {
	if l.Files() {
		r.Files = all
	}
	for _, list := range []struct {
		paths  []string
		rights uint64
	}{{l.ReadOnly, read}, {l.Execute, execute}, {l.ReadWrite, write}} {
		for _, path := range list.paths {
			r.Paths = append(r.Paths, Path{path, list.rights})
		}
	}
	for _, list := range []struct {
		ports *[]uint32
		right uint64
	}{{l.TCPBind, unix.LANDLOCK_ACCESS_NET_BIND_TCP}, {l.TCPConnect, unix.LANDLOCK_ACCESS_NET_CONNECT_TCP}} {
		if list.ports == nil {
			continue
		}
		r.Net |= list.right
		for _, port := range *list.ports {
			r.Ports = append(r.Ports, Port{port, list.right})
		}
	}
	for _, word := range l.Scope {
		bit, ok := scopes[word]
		if !ok {
			return Rules{}, fmt.Errorf("cannot use landlock scope %q: %w", word, fs.ErrInvalid)
		}
		r.Scope |= bit
	}
	return r, nil
}

// scopes are the bits of the words of spec.LandlockScopes.
var scopes = map[string]uint64{"ABSTRACT_UNIX_SOCKET": unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, "SIGNAL": unix.LANDLOCK_SCOPE_SIGNAL}

// without are the rules without rights, and without what then allows nothing.
func (r Rules) without(files, net, scope uint64) Rules {
	out := Rules{Files: r.Files &^ files, Net: r.Net &^ net, Scope: r.Scope &^ scope}
	for _, p := range r.Paths {
		if p.Rights &= out.Files; p.Rights != 0 {
			out.Paths = append(out.Paths, p)
		}
	}
	for _, p := range r.Ports {
		if p.Rights &= out.Net; p.Rights != 0 {
			out.Ports = append(out.Ports, p)
		}
	}
	return out
}

// Empty tells rules that refuse nothing.
func (r Rules) Empty() bool { return r.Files|r.Net|r.Scope == 0 }
