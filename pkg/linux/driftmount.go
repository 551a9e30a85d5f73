package linux

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// mounts compares the container's tree with what a start makes of its manifest. Nothing is asked of a file system that may not answer.
func (l *deepLook) mounts() error {
	c := l.full
	ids, err := l.n.mappings(c)
	if err != nil {
		return err
	}
	plan, err := mount.NewPlan(c, mount.Facts{IDs: ids, Unified: l.n.tree.Unified})
	if err != nil {
		return err
	}
	seen := mount.Seen{Free: l.has.Has(unix.CAP_SYS_ADMIN)}
	if seen.Mounts, err = survey.MountsOf(l.in.Pid); err != nil {
		return err
	}
	for _, m := range c.Spec.Mounts {
		seen.Said = append(seen.Said, path.Clean(m.Destination))
	}
	root := fmt.Sprintf("/proc/%d/root", l.in.Pid)
	seen.At = func(path string) (int, bool) { return mountAt(root, path, seen.Mounts) }
	seen.Exists = func(path string) bool { _, err := os.Lstat(root + path); return err == nil }
	if slices.ContainsFunc(c.Spec.Mounts, func(m spec.Mount) bool { return m.Type == spec.MountBind }) {
		node, err := survey.MountsOf(os.Getpid())
		if err != nil {
			return err
		}
		seen.Source = func(path string) (device, root string) { return shownAs(path, node) }
	}
	for _, d := range plan.Drift(seen) {
		l.differs(d.Field, d.Found, d.Wanted, false)
	}
	return nil
}

// resolveCached is RESOLVE_CACHED of linux/openat2.h, since Linux 5.12: EAGAIN for what would have to be looked up.
const resolveCached = 0x20

// slow are file systems that may wait for somebody: the beginnings of their types.
var slow = []string{"fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "virtiofs", "autofs", "lustre", "gpfs"}

// mountAt is the number of the mount whose root a path leads to. First only what the kernel has at hand is asked; then, where every mount is of a file system that
// answers by itself, the rest.
func mountAt(root, p string, mounts []proc.Mount) (id int, known bool) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolveCached}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, p, &how)
	if errors.Is(err, unix.EAGAIN) && !slices.ContainsFunc(mounts, func(m proc.Mount) bool {
		return slices.ContainsFunc(slow, func(kind string) bool { return strings.HasPrefix(m.Type, kind) })
	}) {
		how.Resolve &^= resolveCached
		fd, err = unix.Openat2(dir, p, &how)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return 0, true
	}
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	const mask = unix.STATX_MNT_ID
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, &st); err != nil || st.Mask&mask == 0 {
		return 0, false
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return 0, true
	}
	return int(st.Mnt_id), true
}

// shownOtherwise are types whose mountinfo shows another root than the path that was bound.
var shownOtherwise = []string{"cgroup", "cgroup2", "nsfs", "proc", "fuse.lxcfs"}

// shownAs is a path of the node as mountinfo shows a bind of it, "" when the kernel does not have it at hand.
func shownAs(p string, node []proc.Mount) (device, root string) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolveCached}
	fd, err := unix.Openat2(unix.AT_FDCWD, p, &how)
	if err != nil {
		return "", ""
	}
	defer unix.Close(fd)
	resolved, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	var st unix.Statx_t
	if err != nil || unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st) != nil {
		return "", ""
	}
	at := slices.IndexFunc(node, func(m proc.Mount) bool { return uint64(m.ID) == st.Mnt_id })
	if at < 0 || slices.Contains(shownOtherwise, node[at].Type) {
		return "", ""
	}
	rest, ok := strings.CutPrefix(resolved, strings.TrimSuffix(node[at].Point, "/"))
	if !ok {
		return "", ""
	}
	return node[at].Device, path.Join(node[at].Root, rest)
}
