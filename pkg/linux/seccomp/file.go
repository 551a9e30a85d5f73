package seccomp

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxFileSize bounds a profile's file; spec.DecodeSeccomp has the same bound.
const maxFileSize = 1 << 20

// readFile reads a profile's file: a regular one that only root can write to.
func readFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the seccomp profile %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot stat the seccomp profile %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("cannot use the seccomp profile %s: not a regular file: %w", path, fs.ErrInvalid)
	case st.Uid != 0 || st.Mode&0o022 != 0:
		return nil, fmt.Errorf("cannot trust the seccomp profile %s: others than root can change it: %w\nhint: chown root %s && chmod go-w %s", path, fs.ErrInvalid, path, path)
	case st.Size > maxFileSize:
		return nil, fmt.Errorf("cannot use the seccomp profile %s: %d bytes, more than %d: %w", path, st.Size, maxFileSize, fs.ErrInvalid)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the seccomp profile %s: %w", path, err)
	}
	return data, nil
}

// Place is where a profile's file is used; it decides about includes and excludes.
type Place struct {
	Arch     Arch           // the machine
	Bounding capability.Set // what the container can ever hold
	// Kernel is the release of the running kernel, as uname -r has it.
	Kernel string
}

// Here is this machine, for a container with that bounding set.
func Here(bounding capability.Set) (Place, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Place{}, fmt.Errorf("cannot ask for the kernel's release: %w", err)
	}
	return Place{Arch: Native(), Bounding: bounding, Kernel: unix.ByteSliceToString(u.Release[:])}, nil
}

// Resolve is the profile that a file means in a place. An error is fs.ErrInvalid: an error name that errno(3) does not have.
func Resolve(f spec.SeccompFile, place Place) (p spec.SeccompProfile, err error) {
	p = spec.SeccompProfile{
		DefaultAction: f.DefaultAction, Architectures: f.Architectures, Flags: f.Flags,
		ListenerPath: f.ListenerPath, ListenerMetadata: f.ListenerMetadata,
	}
	if p.DefaultErrnoRet, err = errnoRet(f.DefaultErrno, f.DefaultErrnoRet, f.DefaultAction); err != nil {
		return p, fmt.Errorf("defaultErrno: %w", err)
	}
	for _, m := range f.ArchMap {
		if m.Architecture == place.Arch.Word {
			p.Architectures = append([]spec.SeccompArch{m.Architecture}, m.SubArchitectures...)
		}
	}
	for i, r := range f.Syscalls {
		if !place.included(r.Includes) || place.excluded(r.Excludes) {
			continue
		}
		rule := spec.SeccompRule{Names: r.Names, Action: r.Action, Args: r.Args}
		if r.Name != "" {
			rule.Names = []string{r.Name}
		}
		if rule.ErrnoRet, err = errnoRet(r.Errno, r.ErrnoRet, r.Action); err != nil {
			return p, fmt.Errorf("syscalls[%d].errno: %w", i, err)
		}
		p.Syscalls = append(p.Syscalls, rule)
	}
	return p, nil
}

// included tells whether all of it is true: one of the architectures, all of the capabilities, the kernel.
func (p Place) included(w spec.SeccompWhere) bool {
	return (len(w.Arches) == 0 || slices.Contains(w.Arches, p.Arch.Name)) &&
		!slices.ContainsFunc(w.Caps, func(name string) bool { return !p.has(name) }) &&
		(w.MinKernel == "" || p.atLeast(w.MinKernel))
}

// excluded tells whether any of it is true.
func (p Place) excluded(w spec.SeccompWhere) bool {
	return slices.Contains(w.Arches, p.Arch.Name) || slices.ContainsFunc(w.Caps, p.has) || w.MinKernel != "" && p.atLeast(w.MinKernel)
}

func (p Place) has(capability string) bool {
	n := slices.Index(spec.CapabilityNames, strings.TrimPrefix(capability, "CAP_"))
	return n >= 0 && p.Bounding.Has(n)
}

func (p Place) atLeast(release string) bool {
	return slices.Compare(version(p.Kernel), version(release)) >= 0
}

// version is the first two numbers of a release such as 6.18.5-arch1.
func version(release string) []int {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	v := make([]int, 2)
	v[0], _ = strconv.Atoi(major)
	v[1], _ = strconv.Atoi(minor)
	return v
}

// errnos are the numbers of errors by name.
var errnos = sync.OnceValue(func() map[string]uint16 {
	table := map[string]uint16{}
	for n := uint16(1); n < 256; n++ {
		if name := unix.ErrnoName(unix.Errno(n)); name != "" {
			table[name] = n
		}
	}
	return table
})

// errnoRet is the number that a file says by name, or in digits, or not at all. A name beside an action that returns none
// is there for readers.
func errnoRet(name string, number spec.ErrnoRet, action spec.SeccompAction) (spec.ErrnoRet, error) {
	if name == "" || action != spec.SeccompErrno && action != spec.SeccompTrace {
		return number, nil
	}
	if n, ok := errnos()[name]; ok {
		return spec.NewErrnoRet(n), nil
	}
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("unknown error %q: %w", name, fs.ErrInvalid)
	}
	return spec.NewErrnoRet(uint16(n)), nil
}
