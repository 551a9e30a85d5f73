package spec

import "slices"

// Mount is one further file system inside the container.
type Mount struct {
	// Type is bind, tmpfs, proc and sysfs (both with base None alone), devpts, mqueue, cgroup (cgroup2; with base None on a node that mounts the older hierarchies, a directory of those), cgroup2, or a file system of the node's kernel: overlay, ramfs, hugetlbfs, ext4, xfs, btrfs and others. Network file systems are mounted on the node and bound. A cgroup is read-only unless the options say rw; then the root of a user namespace owns it.
	Type string `json:"type" class:"replace" format:"mountType"`
	// Source is the absolute path on the node: what a bind mount shows, or the device of a file system on one.
	Source string `json:"source,omitzero" class:"replace" format:"path"`
	// Destination is the absolute path in the container, resolved inside the rootfs, made when missing.
	Destination string `json:"destination" class:"replace" format:"inside"`
	// Options are the words of mount(8): ro, rw, nosuid, nodev, noexec, relatime, noatime, strictatime, nodiratime, nosymfollow and their opposites; private, slave, shared, unbindable, alone or with r in front for what is mounted below as well; for bind rbind, the same flags with r in front (rro), idmap and ridmap; for any other type sync, dirsync, lazytime, mand, iversion, silent, acl and their opposites; for tmpfs size=, nr_blocks=, nr_inodes= (with k, m or g, powers of 1024; size also in %), mode=, uid=, gid=, huge=, mpol=, noswap, inode32, inode64, tmpcopyup (begins with what the rootfs has there); for devpts newinstance, ptmxmode=, mode=, uid=, gid=, max=; for proc hidepid=, gid=, subset=pid; types that are not named here take whatever the kernel knows.
	Options []string `json:"options,omitzero" class:"replace" format:"option"`
	// UIDMappings say for idmap and ridmap which user ids inside (hostID) the files' own (containerID) show as. Default: those of the container's user namespace.
	UIDMappings []IDMapping `json:"uidMappings,omitzero" class:"replace"`
	// GIDMappings say the same of group ids.
	GIDMappings []IDMapping `json:"gidMappings,omitzero" class:"replace"`
}

// Propagation names how mounts pass between mount namespaces, see mount_namespaces(7).
type Propagation string

// The ways of propagation; those with r hold for all mounts below as well.
const (
	PropagationRPrivate    Propagation = "rprivate"
	PropagationPrivate     Propagation = "private"
	PropagationRSlave      Propagation = "rslave"
	PropagationSlave       Propagation = "slave"
	PropagationRShared     Propagation = "rshared"
	PropagationShared      Propagation = "shared"
	PropagationRUnbindable Propagation = "runbindable"
	PropagationUnbindable  Propagation = "unbindable"
)

// Propagations are all of them, the default first.
var Propagations = []Propagation{
	PropagationRPrivate, PropagationPrivate, PropagationRSlave, PropagationSlave,
	PropagationRShared, PropagationShared, PropagationRUnbindable, PropagationUnbindable,
}

// Mount types that have a meaning of their own, as Mount.Type has them.
const (
	MountBind    = "bind"
	MountTmpfs   = "tmpfs"
	MountProc    = "proc"
	MountSysfs   = "sysfs"
	MountDevpts  = "devpts"
	MountMqueue  = "mqueue"
	MountCgroup  = "cgroup"
	MountCgroup2 = "cgroup2"
)

// MountTypes are the types a manifest's mount may have: those with a meaning of their own, file systems of the kernel that
// need no source, and those that are on a device of the node. Those of the network are left out: a start must not wait for another machine.
var MountTypes = slices.Concat(
	[]string{MountBind, MountTmpfs, MountProc, MountSysfs, MountDevpts, MountMqueue, MountCgroup, MountCgroup2},
	[]string{
		"binfmt_misc", "bpf", "configfs", "debugfs", "devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "overlay", "pstore",
		"ramfs", "securityfs", "selinuxfs", "tracefs",
	},
	DeviceTypes,
)

// DeviceTypes are the types of MountTypes whose source is a block device, or a file that a loop device shows.
var DeviceTypes = []string{
	"btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "ntfs3", "squashfs", "udf", "vfat", "xfs",
}

// MountFlags are the words of mount(8) that every type takes. Words on one line exclude each other.
var MountFlags = [][]string{
	{"ro", "rw"},
	{"nosuid", "suid"},
	{"nodev", "dev"},
	{"noexec", "exec"},
	{"relatime", "noatime", "strictatime", "norelatime", "atime", "nostrictatime"},
	{"diratime", "nodiratime"},
	{"nosymfollow", "symfollow"},
	{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"},
	{"defaults"},
}

// BindFlags are the words that only a bind mount takes: with r in front, a flag holds for all mounts below as well.
var BindFlags = [][]string{
	{"bind", "rbind"},
	{"rro", "rrw"},
	{"rnosuid", "rsuid"},
	{"rnodev", "rdev"},
	{"rnoexec", "rexec"},
	{"rrelatime", "rnoatime", "rstrictatime", "rnorelatime", "ratime", "rnostrictatime"},
	{"rdiratime", "rnodiratime"},
	{"rnosymfollow", "rsymfollow"},
	{"idmap", "ridmap"},
}

// SuperFlags are the words for a file system itself, which a bind mount only shows.
var SuperFlags = [][]string{
	{"async", "sync"},
	{"dirsync"},
	{"lazytime", "nolazytime"},
	{"mand", "nomand"},
	{"iversion", "noiversion"},
	{"silent", "loud"},
	{"acl", "noacl"},
}

// RemountFlag is the word for changing the mount that is there already; only base None takes it.
const RemountFlag = "remount"

// MountOptions are the words of one type of file system: key=value, or a bare word. The kernel's documents decide what they
// mean: Documentation/filesystems/{tmpfs,devpts,proc}.rst.
var MountOptions = map[string][]string{
	MountTmpfs:  {"size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol", "noswap", "inode32", "inode64", "tmpcopyup"},
	MountDevpts: {"newinstance", "ptmxmode", "mode", "uid", "gid", "max"},
	MountProc:   {"hidepid", "gid", "subset"},
}

// HasOwnOptions tells whether the words of a type are all known here. Other types take what the kernel knows.
func HasOwnOptions(kind string) bool {
	switch kind {
	case MountBind, MountTmpfs, MountProc, MountSysfs, MountDevpts, MountMqueue, MountCgroup, MountCgroup2:
		return true
	}
	return false
}
