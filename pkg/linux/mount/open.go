package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

// Names of the files that Open gives and the program of Append uses, beside those of the mounts.
const (
	FileRootfs = "rootfs"
	FileLayer  = "layer"
	// FileConsole is Console.Mount, which NewConsole gives.
	FileConsole = "console"
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

// Open makes the detached mounts one start needs: clones of the rootfs, of the layer and of the bind sources with their
// flags set, and the file systems that are made beforehand. They are made here because a child in its own mount namespace may not
// clone what is mounted in another one (open_tree(2): EINVAL). Each start consumes its own. The caller closes them once the
// child runs. User is the container's user namespace, nil if it has none; it stays the caller's.
//
// The clone of a rootfs that is not Direct is that one directory tree: what is mounted below it on the node stays out.
func (p Plan) Open(user *os.File) (_ Files, err error) {
	files := Files{}
	defer func() {
		if err != nil {
			files.Close()
		}
	}()
	if user == nil && !p.IDs.IsZero() {
		return nil, fmt.Errorf("cannot map ids without the user namespace: %w", fs.ErrInvalid)
	}
	if files[FileRootfs], err = openRoot(p.Root, user); err != nil {
		return nil, err
	}
	if p.Root.Overlay {
		if files[FileLayer], err = openLayer(p.Root, user); err != nil {
			return nil, err
		}
	}
	room := newRoom(p.Memory)
	for _, m := range p.Mounts {
		if err := p.openMount(files, m, user, room); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// openMount makes what one mount needs beforehand.
func (p Plan) openMount(files Files, m Mount, user *os.File, room *room) (err error) {
	for _, h := range m.Hierarchies {
		if h.File == "" {
			continue
		}
		own := Mount{Attr: m.Attr, Propagation: Propagation{unix.MS_PRIVATE, true}, Bind: Bind{Source: h.Source, Directory: true}}
		if files[h.File], err = openBind(own, user); err != nil {
			return fmt.Errorf("cannot bind %s to %q: %w", h.Source, m.Destination, err)
		}
	}
	switch {
	case m.File == "":
	case m.Type == "bind":
		if files[m.File], err = openBind(m, user); err != nil {
			return fmt.Errorf("cannot bind %s to %q: %w", m.Bind.Source, m.Destination, err)
		}
	default:
		if files[m.File], err = p.openMade(m, room); err != nil {
			return fmt.Errorf("cannot mount %s at %q: %w", m.Type, m.Destination, err)
		}
	}
	return nil
}

// openRoot clones the rootfs. As the root itself or as a lower layer it is read-only and, unless they are wanted, without devices.
func openRoot(r Root, user *os.File) (*os.File, error) {
	root, err := rootfs.Open(r.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	one := change{MountAttr: unix.MountAttr{Attr_set: readonly, Propagation: unix.MS_PRIVATE}}
	all := change{flags: unix.AT_RECURSIVE}
	if !r.Devices {
		one.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if r.Direct {
		one.Attr_set &^= readonly
		one.Propagation = r.Propagation.Flag
		if r.Propagation.Recursive {
			one.Propagation, all.Propagation = 0, r.Propagation.Flag
		}
	}
	if r.IDMapped {
		one.mapIDs(user)
	}
	f, err := detach(root.File(), r.Direct, one, all)
	if err != nil {
		return nil, fmt.Errorf("cannot clone rootfs %s: %w", r.Path, err)
	}
	return f, nil
}

// openLayer clones the layer's directory, or makes a tmpfs with the directories of a layer. A directory, which is kept,
// holds the container's own ids, so that it outlives the user namespace; the tmpfs holds the node's.
func openLayer(r Root, user *os.File) (*os.File, error) {
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
	one := change{MountAttr: unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV, Attr_clr: readonly | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE}}
	if r.IDMapped {
		one.mapIDs(user)
	}
	f, err := detach(dir, false, one)
	if err != nil {
		return nil, fmt.Errorf("cannot clone layer %s: %w", r.Layer, err)
	}
	return f, nil
}

// openBind clones a bind's source and sets its flags.
func openBind(m Mount, user *os.File) (*os.File, error) {
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
	if m.Bind.Proc {
		if err := mustBeProc(source); err != nil {
			return nil, err
		}
	}
	if !m.Bind.IDs.IsZero() {
		if user, err = namespace.NewUser(m.Bind.IDs.UIDs, m.Bind.IDs.GIDs); err != nil {
			return nil, err
		}
		defer user.Close()
	}
	one, all := m.changes()
	switch m.Bind.IDMap {
	case mapOne:
		one.mapIDs(user)
	case mapAll:
		all.mapIDs(user)
	}
	return detach(source, m.Bind.Recursive, m.Bind.Before.change(), one, all)
}

// mustBeProc refuses what is not a proc file system: everything that reads /proc believes it.
func mustBeProc(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("only a proc file system is mounted there: %w", fs.ErrInvalid)
	}
	return nil
}

// change is one call of mount_setattr(2): its flags say whether it holds for the mounts below as well.
type change struct {
	flags int
	unix.MountAttr
}

// change is one of nothing but the propagation.
func (p Propagation) change() (c change) {
	if c.Propagation = p.Flag; p.Recursive {
		c.flags = unix.AT_RECURSIVE
	}
	return c
}

// changes are what a mount's words change, of itself and of all that is below it.
func (m Mount) changes() (one, all change) {
	one = change{0, unix.MountAttr{Attr_set: m.Attr.Set, Attr_clr: m.Attr.Clear}}
	all = change{unix.AT_RECURSIVE, unix.MountAttr{Attr_set: m.All.Set, Attr_clr: m.All.Clear}}
	if m.Propagation.Recursive {
		all.Propagation = m.Propagation.Flag
	} else {
		one.Propagation = m.Propagation.Flag
	}
	return one, all
}

// mapIDs shows the files' ids as a user namespace has them.
func (c *change) mapIDs(user *os.File) {
	c.Attr_set |= unix.MOUNT_ATTR_IDMAP
	c.Userns_fd = uint64(user.Fd())
}

// detach clones the mount at dir, and if recursive those below it, and makes changes to the clone.
func detach(dir *os.File, recursive bool, changes ...change) (*os.File, error) {
	flags := unix.AT_EMPTY_PATH | unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(int(dir.Fd()), "", uint(flags))
	if err != nil {
		return nil, fmt.Errorf("open_tree: %w", err)
	}
	f := os.NewFile(uintptr(fd), dir.Name())
	for _, c := range changes {
		if err := c.apply(fd); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// apply makes one change to the mount at fd, if there is any.
func (c change) apply(fd int) error {
	if c.MountAttr == (unix.MountAttr{}) {
		return nil
	}
	err := unix.MountSetattr(fd, "", uint(c.flags|unix.AT_EMPTY_PATH), &c.MountAttr)
	switch {
	case err == unix.EINVAL && c.Attr_set&unix.MOUNT_ATTR_IDMAP != 0:
		return fmt.Errorf("its file system has no id-mapped mounts (mount_setattr: %w): %w\nhint: keep it on ext4, xfs or btrfs, or from Linux 6.3 on on tmpfs", err, errors.ErrUnsupported)
	case err != nil:
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return nil
}
