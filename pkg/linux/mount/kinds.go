package mount

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

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

// kinds are the types with a meaning of their own: the kernel's name, and the flags and settings that they begin with
// unless the base is None.
var kinds = map[string]Mount{
	spec.MountBind:    {Type: "bind", Propagation: Propagation{unix.MS_PRIVATE, true}},
	spec.MountTmpfs:   {Type: "tmpfs", Attr: Attr{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}, Config: []Setting{{"size", fmt.Sprint(tmpfsSize)}, {"mode", "1777"}}},
	spec.MountProc:    {Type: "proc", Attr: Attr{Set: quiet}},
	spec.MountSysfs:   {Type: "sysfs", Attr: Attr{Set: quiet | readonly}},
	spec.MountDevpts:  {Type: "devpts", Attr: Attr{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC}, Config: []Setting{{"newinstance", ""}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}}},
	spec.MountMqueue:  {Type: "mqueue", Attr: Attr{Set: quiet}},
	spec.MountCgroup:  {Type: "cgroup2", Attr: Attr{Set: quiet | readonly}},
	spec.MountCgroup2: {Type: "cgroup2", Attr: Attr{Set: quiet | readonly}},
}

// newKind is a mount of a type before its options: with what its kind begins with, or exact, with nothing.
func newKind(kind string, exact bool) (Mount, bool) {
	m, own := kinds[kind]
	switch {
	case own && exact:
		m = Mount{Type: m.Type}
	case own:
		m.Config = slices.Clone(m.Config)
	case exact && kind != "" && kind != "none", slices.Contains(spec.MountTypes, kind):
		m = Mount{Type: kind}
	default:
		return m, false
	}
	m.kind = kind
	return m, true
}

// give are files that the kernel makes as the node's superuser's: devpts_fill_super in fs/devpts/inode.c; the root of mqueue is
// made with the ipc namespace, in ipc/mqueue.c.
var give = map[string][]string{"devpts": {"", "ptmx"}, "mqueue": {""}}

// inChild are the types that are made by the container's first process: what they show or whom they charge depends on its
// namespaces and cgroup, and none of them waits for a disk. Others are made beforehand.
var inChild = []string{"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}

// standard are the mounts every container has, unless the base is None. A manifest's mount of the same destination takes
// the place of one. The cgroup mount is the unified hierarchy, on hybrid hosts as well: what the container sees is its own cgroup.
var standard = []spec.Mount{
	{Type: spec.MountProc, Destination: "/proc"},
	{Type: spec.MountSysfs, Destination: "/sys"},
	{Type: spec.MountTmpfs, Destination: "/dev", Options: []string{fmt.Sprint("size=", devSize), "mode=0755", "noexec", "dev"}},
	{Type: spec.MountDevpts, Destination: "/dev/pts"},
	{Type: spec.MountTmpfs, Destination: "/dev/shm", Options: []string{"noexec"}},
	{Type: spec.MountMqueue, Destination: "/dev/mqueue"},
	{Type: spec.MountCgroup, Destination: "/sys/fs/cgroup"},
}

// fixed are the destinations whose type cannot be another one, unless the base is None.
var fixed = map[string]string{"/proc": spec.MountProc, "/sys": spec.MountSysfs, "/dev": spec.MountTmpfs, "/dev/pts": spec.MountDevpts}

// bases are the directories of the rootfs that proc, sysfs and dev are mounted on.
var bases = []string{"/proc", "/sys", "/dev"}
