package mount

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Chroot changes the root where pivot_root(2) cannot: on a node that still runs from its initial file system (rootfs(5) of the kernel's
// documentation: ramfs-rootfs-initramfs.rst). The node's tree stays below the container's, out of reach for who may not change roots.
type Chroot struct {
	// Hide are the node's mounts of proc and sysfs, which are taken away from what stays, the deepest first.
	Hide []string
}

// NewChroot looks for the mounts to hide.
func NewChroot() (*Chroot, error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot find mounts to hide: %w", err)
	}
	c := &Chroot{}
	for line := range strings.Lines(string(text)) {
		if m, ok := proc.ParseMount(line); ok && (m.Type == "proc" || m.Type == "sysfs") {
			c.Hide = append(c.Hide, m.Point)
		}
	}
	slices.Reverse(c.Hide) // mountinfo has a mount before those on it
	return c, nil
}

// chroot moves the container's root over the node's and makes it the root of the process. Until then the node's tree can be reached by name.
func (b *builder) chroot(c Chroot) {
	const step = "change root"
	b.Call(step, "/", unix.SYS_FCHDIR, b.root)
	b.Call(step, "/", unix.SYS_MOVE_MOUNT, b.root, process.Str(""), process.Int(unix.AT_FDCWD), process.Str("/"), process.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	for range b.covers - 1 { // all but the root, or what is to be hidden would stay below them
		b.Call("hide", b.stage, unix.SYS_UMOUNT2, process.Str(b.stage), process.Int(unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	}
	for _, path := range c.Hide {
		b.Call("hide", path, unix.SYS_UMOUNT2, process.Str(path), process.Int(unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)).
			Accept = process.Accept(unix.EINVAL, unix.ENOENT, unix.ENOTDIR)
	}
	b.Call(step, "/", unix.SYS_CHROOT, process.Str("."))
	b.Call(step, "/", unix.SYS_CHDIR, process.Str("/"))
}
