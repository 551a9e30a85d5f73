package mount

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Plan is a container's file system tree as a value.
type Plan struct {
	Root Root
	// Mounts are made in this order.
	Mounts []Mount
	// Sysctls are written in this order.
	Sysctls []Sysctl
	// Masked are hidden, then Readonly are made read-only; those that do not exist are left out by the child.
	Masked, Readonly []string
	// WorkingDir is entered last; it must exist.
	WorkingDir string
}

// Root is the root file system: the directory Path itself, read-only, or an overlay with Path as its lower layer.
type Root struct {
	Path    string
	Overlay bool
	// Layer is the directory made by PrepareLayer; "" with an overlay is a tmpfs of Size bytes, for this start only.
	Layer string
	Size  uint64
	// Owner is what the root directory of a new layer looks like.
	Owner Owner
	// ReadOnly makes the overlay read-only once the mount points are there.
	ReadOnly bool
}

// Owner is the mode and owner of a root directory.
type Owner struct{ Mode, UID, GID uint32 }

// Mount is one mount inside the container.
type Mount struct {
	Type        string // bind, or a file system type of the kernel
	Destination string // absolute and clean
	Config      []Setting
	// Set are MOUNT_ATTR_* flags; Clear are those of a bind's source that are taken away.
	Set, Clear uint64
	Bind       Bind
	// Ordinary demands a destination reached without symbolic links and without crossing a mount.
	Ordinary bool
	// Devices fills the file system with the default devices and links before it is mounted.
	Devices bool
}

// Bind is the source of a bind mount.
type Bind struct {
	File        string // its name in Files
	Source      string // the path on the node
	Directory   bool
	Recursive   bool
	Propagation uint64 // MS_PRIVATE, MS_SLAVE or MS_SHARED
}

// Setting is one option of a file system: key=value, or the bare word key if value is "".
type Setting struct{ Key, Value string }

// Default sizes, in bytes.
const (
	tmpfsSize = 64 << 20
	devSize   = 64 << 10
	pointSize = 64 << 10 // of the layer that only takes mount points
)

const (
	quiet    = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	readonly = unix.MOUNT_ATTR_RDONLY
)

// kinds are the types of a manifest's mounts: the kernel's name, the flags and the settings they begin with.
var kinds = map[string]Mount{
	spec.MountBind:   {Type: "bind", Bind: Bind{Propagation: unix.MS_PRIVATE}},
	spec.MountTmpfs:  {Type: "tmpfs", Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Config: []Setting{{"size", fmt.Sprint(tmpfsSize)}, {"mode", "1777"}}},
	spec.MountProc:   {Type: "proc", Set: quiet},
	spec.MountSysfs:  {Type: "sysfs", Set: quiet | readonly},
	spec.MountDevpts: {Type: "devpts", Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, Config: []Setting{{"newinstance", ""}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}}},
	spec.MountMqueue: {Type: "mqueue", Set: quiet},
	spec.MountCgroup: {Type: "cgroup2", Set: quiet | readonly},
}

// standard are the mounts every container has. A manifest's mount of the same destination takes the place of one.
// The cgroup mount is the unified hierarchy, on hybrid hosts as well: what the container sees is its own cgroup.
var standard = []spec.Mount{
	{Type: spec.MountProc, Destination: "/proc"},
	{Type: spec.MountSysfs, Destination: "/sys"},
	{Type: spec.MountTmpfs, Destination: "/dev", Options: []string{fmt.Sprint("size=", devSize), "mode=0755", "noexec", "dev"}},
	{Type: spec.MountDevpts, Destination: "/dev/pts"},
	{Type: spec.MountTmpfs, Destination: "/dev/shm", Options: []string{"noexec"}},
	{Type: spec.MountMqueue, Destination: "/dev/mqueue"},
	{Type: spec.MountCgroup, Destination: "/sys/fs/cgroup"},
}

// fixed are the destinations whose type cannot be another one.
var fixed = map[string]string{"/proc": spec.MountProc, "/sys": spec.MountSysfs, "/dev": spec.MountTmpfs, "/dev/pts": spec.MountDevpts}

// bases are the directories of the rootfs that proc, sysfs and dev are mounted on.
var bases = []string{"/proc", "/sys", "/dev"}

// overProc are the files of proc a manifest may mount over, as lxcfs does. Anything else could stand in for a file that
// this or a later program trusts.
var overProc = []string{"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo", "/proc/stat", "/proc/swaps", "/proc/uptime"}

// NewPlan makes the plan of a defaulted container. Errors are fs.ErrInvalid: the manifest must change.
func NewPlan(c spec.Container, facts Facts) (Plan, error) {
	mounts, err := arrange(c.Spec.Mounts, facts.Directories)
	if err != nil {
		return Plan{}, err
	}
	sysctls, err := newSysctls(c.Spec.Sysctls, c.Spec.Network.Mode)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		Root:       newRoot(c.Spec.Rootfs, facts),
		Mounts:     mounts,
		Sysctls:    sysctls,
		Masked:     cleanPaths(c.Spec.Security.MaskedPaths, spec.DefaultMaskedPaths),
		Readonly:   cleanPaths(c.Spec.Security.ReadonlyPaths, spec.DefaultReadonlyPaths),
		WorkingDir: path.Join("/", c.Spec.WorkingDir),
	}
	return p, nil
}

// newRoot chooses how the root is made. A read-only rootfs that lacks mount points gets them in a layer of its own.
func newRoot(r spec.Rootfs, facts Facts) Root {
	root := Root{Path: r.Path, Owner: facts.Owner}
	switch {
	case r.ReadOnly && len(facts.Missing) == 0:
	case r.ReadOnly:
		root.Overlay, root.ReadOnly, root.Size = true, true, pointSize
	default:
		root.Overlay, root.Layer = true, facts.Layer
		if root.Layer == "" {
			root.Size = max(uint64(r.Writable.Size), pointSize)
		}
	}
	return root
}

// arrange puts the manifest's mounts and the standard ones in order: first those elsewhere, then proc, sys and dev over
// anything that went astray onto them, then those below them.
func arrange(mounts []spec.Mount, directories []bool) ([]Mount, error) {
	base := make([]Mount, len(standard))
	for i, s := range standard {
		var err error
		if base[i], err = newMount(s); err != nil {
			return nil, err
		}
	}
	var elsewhere, below []Mount
	for i, s := range mounts {
		at := slices.IndexFunc(standard, func(d spec.Mount) bool { return d.Destination == path.Clean(s.Destination) })
		if at >= 0 && standard[at].Type == s.Type {
			s.Options = slices.Concat(standard[at].Options, s.Options)
		}
		m, err := newMount(s)
		if err != nil {
			return nil, err
		}
		if m.Type == spec.MountBind {
			m.Bind.File, m.Bind.Directory = fmt.Sprint("bind", i), i < len(directories) && directories[i]
		}
		switch {
		case at >= 0:
			base[at] = m
		case isBelowAny(m.Destination, bases...):
			below = append(below, m)
		default:
			elsewhere = append(elsewhere, m)
		}
	}
	return slices.Concat(elsewhere, base, below), nil
}

// newMount turns one mount of a manifest into a row of the plan.
func newMount(s spec.Mount) (Mount, error) {
	m, ok := kinds[s.Type]
	if !ok {
		return Mount{}, refuse(s, "unknown type")
	}
	m.Destination = path.Clean(s.Destination)
	m.Bind.Source = s.Source
	m.Ordinary = slices.Contains(bases, m.Destination)
	m.Devices = m.Destination == "/dev"
	m.Config = slices.Clone(m.Config)
	if why := misplaced(s, m.Destination); why != "" {
		return Mount{}, refuse(s, why)
	}
	for _, word := range s.Options {
		if err := m.apply(word); err != nil {
			return Mount{}, refuse(s, err.Error())
		}
	}
	return m, nil
}

// misplaced says why a mount cannot be at the clean destination; "" if it can.
func misplaced(s spec.Mount, destination string) string {
	want := fixed[destination]
	switch {
	case !path.IsAbs(destination) || destination == "/":
		return "the destination must be an absolute path below /"
	case (s.Type == spec.MountBind) != path.IsAbs(s.Source):
		return "a bind mount, and no other, has an absolute source"
	case want != "" && want != s.Type:
		return "only " + want + " is mounted there"
	case want != s.Type && (s.Type == spec.MountProc || s.Type == spec.MountSysfs):
		return "it would show there what is masked in the one place it belongs to"
	case destination != "/proc" && isBelowAny(destination, "/proc") && !slices.Contains(overProc, destination):
		return "below /proc only these can be mounted over: " + strings.Join(overProc, ", ")
	}
	return ""
}

func refuse(s spec.Mount, why string) error {
	return fmt.Errorf("cannot mount %s at %q: %s: %w", s.Type, s.Destination, why, fs.ErrInvalid)
}

// isBelowAny tells whether the clean path p is one of dirs or below one.
func isBelowAny(p string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") })
}

// cleanPaths is the list that was said, made absolute and clean, or the default.
func cleanPaths(said *[]string, otherwise []string) []string {
	if said == nil {
		return otherwise
	}
	var paths []string
	for _, p := range *said {
		paths = append(paths, path.Join("/", p))
	}
	return paths
}
