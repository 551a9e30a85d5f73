package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The directories of a layer: where the rootfs is attached, and the two that overlayfs writes.
const (
	dirLower = "lower"
	dirUpper = "upper"
	dirWork  = "work"
)

// newTmpfs makes a detached tmpfs of size bytes for a layer, with one inode for each page. Its pages are charged to
// whoever writes them: the container.
func newTmpfs(size uint64) (*os.File, error) {
	config := []Setting{{"size", strconv.FormatUint(size, 10)}, {"nr_inodes", strconv.FormatUint(max(size/4096, 1024), 10)}, {"mode", "0700"}}
	f, err := newFS("tmpfs", config, unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("cannot make a tmpfs for the writable layer: %w", err)
	}
	return f, nil
}

// fillLayer makes the directories of a layer. The upper one, which shows as the container's root directory, appears by
// a rename when it looks as it must; one that is there already belongs to the container.
func fillLayer(layer *os.File, owner Owner) error {
	const unready = "upper.new"
	fd := int(layer.Fd())
	for _, d := range []struct {
		name string
		mode uint32
	}{{dirLower, 0o700}, {dirWork, 0o700}, {unready, 0o700}} {
		if err := unix.Mkdirat(fd, d.name, d.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot make %s of layer %s: %w", d.name, layer.Name(), err)
		}
	}
	if err := unix.Fchownat(fd, unready, int(owner.UID), int(owner.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot own %s of layer %s: %w", dirUpper, layer.Name(), err)
	}
	if err := unix.Fchmodat(fd, unready, owner.Mode, 0); err != nil {
		return fmt.Errorf("cannot set the mode of %s of layer %s: %w", dirUpper, layer.Name(), err)
	}
	err := unix.Renameat2(fd, unready, fd, dirUpper, unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) {
		err = unix.Unlinkat(fd, unready, unix.AT_REMOVEDIR)
	}
	if err != nil {
		return fmt.Errorf("cannot make %s of layer %s: %w", dirUpper, layer.Name(), err)
	}
	return nil
}

// NewScratch makes a detached file system in memory, for files of the node's own programs: 64 MiB at most.
func NewScratch() (*os.File, error) {
	return newFS("tmpfs", []Setting{{"size", strconv.Itoa(tmpfsSize)}, {"mode", "0755"}}, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
}
