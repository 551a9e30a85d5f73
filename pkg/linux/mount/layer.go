package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// NeedsLayer tells whether a defaulted rootfs has a writable layer in a directory, to be made by PrepareLayer before Look. Others
// are read-only, written to directly, or have a layer that each start makes for itself. A layer on disk that lives only from Start is removed
// and prepared again before each start.
func NeedsLayer(r spec.Rootfs) bool {
	return !r.ReadOnly && r.Writable.Medium != spec.MediumDirect && (r.Writable.Medium == spec.MediumDisk || r.Writable.Life != spec.LifeStart)
}

// PrepareLayer makes the directory dir, with its parents, a layer for the defaulted rootfs: in Memory a tmpfs is mounted
// there, on Disk with a size a project quota bounds it. Repeating it keeps what the container wrote and sets the size
// again; a failure leaves nothing new behind. A file system without project quotas is errors.ErrUnsupported.
func PrepareLayer(dir string, r spec.Rootfs) (err error) {
	owner, err := ownerOf(r.Path)
	if err != nil {
		return err
	}
	_, before := os.Lstat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make layer: %w", err)
	}
	if errors.Is(before, fs.ErrNotExist) {
		defer func() {
			if err != nil {
				err = errors.Join(err, RemoveLayer(dir))
			}
		}()
	}
	if r.Writable.Medium == spec.MediumMemory {
		return prepareMemory(dir, uint64(r.Writable.Size), owner)
	}
	return prepareDisk(dir, uint64(r.Writable.Size), owner)
}

// RemoveLayer undoes PrepareLayer and throws away what is in the layer. One that does not exist is no error.
func RemoveLayer(dir string) error {
	for {
		mounted, err := isMountPoint(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot remove layer: %w", err)
		}
		if !mounted {
			break
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("cannot unmount layer %s: %w", dir, err)
		}
	}
	if err := clearQuota(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove layer: %w", err)
	}
	return nil
}

// HoldLayer keeps a layer in memory alive whatever becomes of its place; nil for one that is not there. ReturnLayer puts it there again.
func HoldLayer(dir string) (*os.File, error) {
	if mounted, err := isMountPoint(dir); errors.Is(err, fs.ErrNotExist) || err == nil && !mounted {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot hold layer: %w", err)
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot hold layer: %w", err)
	}
	defer f.Close()
	return detach(f, false)
}

// ReturnLayer is described at HoldLayer.
func ReturnLayer(dir string, held *os.File) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot return layer: %w", err)
	}
	return mountLayer(held, dir)
}

// ownerOf is what a rootfs's root directory looks like.
func ownerOf(path string) (Owner, error) {
	root, err := rootfs.Open(path)
	if err != nil {
		return Owner{}, err
	}
	defer root.Close()
	return owner(root)
}

func owner(root *rootfs.Root) (Owner, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(root.File().Fd()), &st); err != nil {
		return Owner{}, fmt.Errorf("cannot look at rootfs: %w", err)
	}
	return Owner{st.Mode & 0o7777, st.Uid, st.Gid}, nil
}

// prepareMemory mounts a tmpfs at dir, or sets the size of the one that is there. It is filled before it is mounted, so
// that a mounted one is complete.
func prepareMemory(dir string, size uint64, owner Owner) error {
	mounted, err := isMountPoint(dir)
	if err != nil {
		return fmt.Errorf("cannot make layer: %w", err)
	}
	if mounted {
		return resize(dir, size)
	}
	f, err := newTmpfs(size)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fillLayer(f, owner); err != nil {
		return err
	}
	return mountLayer(f, dir)
}

func mountLayer(f *os.File, dir string) error {
	if err := unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("cannot mount layer at %s: %w", dir, err)
	}
	private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &private); err != nil {
		return fmt.Errorf("cannot make layer %s private: %w", dir, err)
	}
	return nil
}

// resize sets the size of the tmpfs mounted at dir; the kernel refuses one smaller than what is in it.
func resize(dir string, size uint64) error {
	fd, err := unix.Fspick(unix.AT_FDCWD, dir, unix.FSPICK_CLOEXEC|unix.FSPICK_SYMLINK_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("cannot set the size of layer %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := unix.FsconfigSetString(fd, "size", strconv.FormatUint(size, 10)); err != nil {
		return fmt.Errorf("cannot set the size of layer %s to %d: %w", dir, size, err)
	}
	if err := unix.FsconfigReconfigure(fd); err != nil {
		return fmt.Errorf("cannot set the size of layer %s to %d: %w", dir, size, err)
	}
	return nil
}

func prepareDisk(dir string, size uint64, owner Owner) error {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open layer: %w", err)
	}
	defer f.Close()
	if size > 0 {
		if err := setQuota(f, size); err != nil {
			return err
		}
	}
	return fillLayer(f, owner)
}

// isMountPoint asks statx(2), which knows it since Linux 5.8.
func isMountPoint(dir string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &st); err != nil {
		return false, &fs.PathError{Op: "statx", Path: dir, Err: err}
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
