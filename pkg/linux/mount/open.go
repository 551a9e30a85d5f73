package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

// Names of the files that Open gives and the program of Append uses, beside those of the binds.
const (
	FileRootfs = "rootfs"
	FileLayer  = "layer"
)

// Files are the descriptors of one start, by the names the program uses.
type Files map[string]*os.File

// Close closes all files. A detached mount that no start has attached vanishes with it.
func (f Files) Close() error {
	var errs []error
	for _, file := range f {
		errs = append(errs, file.Close())
	}
	clear(f)
	return errors.Join(errs...)
}

// Open makes the detached mounts one start needs: clones of the rootfs, of the layer and of the bind sources, with their
// flags set. They are made here because a child in its own mount namespace may not clone what is mounted in another one
// (open_tree(2): EINVAL). Each start consumes its own. The caller closes them once the child runs.
//
// The clone of the rootfs is that one directory tree: what is mounted below it on the node stays out.
func (p Plan) Open() (_ Files, err error) {
	files := Files{}
	defer func() {
		if err != nil {
			files.Close()
		}
	}()
	if files[FileRootfs], err = openRoot(p.Root); err != nil {
		return nil, err
	}
	if p.Root.Overlay {
		if files[FileLayer], err = openLayer(p.Root); err != nil {
			return nil, err
		}
	}
	for _, m := range p.Mounts {
		if m.Bind.File == "" {
			continue
		}
		if files[m.Bind.File], err = openBind(m); err != nil {
			return nil, fmt.Errorf("cannot bind %s to %q: %w", m.Bind.Source, m.Destination, err)
		}
	}
	return files, nil
}

// openRoot clones the rootfs, read-only and without devices: it is the root itself or the lower layer.
func openRoot(r Root) (*os.File, error) {
	root, err := rootfs.Open(r.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	attr := unix.MountAttr{Attr_set: readonly | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	f, err := detach(root.File(), 0, attr)
	if err != nil {
		return nil, fmt.Errorf("cannot clone rootfs %s: %w", r.Path, err)
	}
	return f, nil
}

// openLayer clones the layer's directory, or makes a tmpfs with the directories of a layer.
func openLayer(r Root) (*os.File, error) {
	if r.Layer == "" {
		f, err := newTmpfs(r.Size)
		if err != nil {
			return nil, err
		}
		if err := fillLayer(f, r.Owner); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	dir, err := os.OpenFile(r.Layer, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open layer: %w", err)
	}
	defer dir.Close()
	f, err := detach(dir, 0, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV, Attr_clr: readonly | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE})
	if err != nil {
		return nil, fmt.Errorf("cannot clone layer %s: %w", r.Layer, err)
	}
	return f, nil
}

// openBind clones a bind's source and sets its flags.
func openBind(m Mount) (*os.File, error) {
	source, err := os.OpenFile(m.Bind.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() != m.Bind.Directory {
		return nil, fmt.Errorf("the source changed between file and directory: %w", fs.ErrInvalid)
	}
	flags := 0
	if m.Bind.Recursive {
		flags = unix.AT_RECURSIVE
	}
	return detach(source, flags, unix.MountAttr{Attr_set: m.Set, Attr_clr: m.Clear, Propagation: m.Bind.Propagation})
}

// detach clones the mount at dir, with AT_RECURSIVE also those below it, and changes the clone's attributes.
func detach(dir *os.File, flags int, attr unix.MountAttr) (*os.File, error) {
	fd, err := unix.OpenTree(int(dir.Fd()), "", uint(flags|unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC))
	if err != nil {
		return nil, fmt.Errorf("open_tree: %w", err)
	}
	f := os.NewFile(uintptr(fd), dir.Name())
	if err := unix.MountSetattr(fd, "", uint(flags|unix.AT_EMPTY_PATH), &attr); err != nil {
		f.Close()
		return nil, fmt.Errorf("mount_setattr: %w", err)
	}
	return f, nil
}
