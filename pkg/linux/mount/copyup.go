package mount

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

// copyUp fills a new tmpfs with what the rootfs has at the mount's destination, if that is a directory there. What is in
// it stays what it is: links are not followed, mounts on the node are not entered, and device nodes stay behind.
func (p Plan) copyUp(tmpfs *os.File, m Mount, room *room) error {
	root, err := rootfs.Open(p.Root.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	dir, st, err := root.Directory(m.Destination)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return nil
	case err != nil:
		return err
	}
	defer dir.Close()
	to, err := openIn(int(tmpfs.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer to.Close()
	c := copier{room: room}
	if p.Root.IDMapped {
		c.ids = p.IDs
	}
	if err := c.directory(int(dir.Fd()), int(to.Fd()), 0); err != nil {
		return fmt.Errorf("cannot copy %s of the rootfs: %w", m.Destination, err)
	}
	switch {
	case m.says("mode"):
		return nil
	case m.says("uid"), m.says("gid"): // the owner is said
		return os.NewSyscallError("fchmod", unix.Fchmod(int(to.Fd()), st.Mode&0o7777))
	}
	return c.describe(int(to.Fd()), st)
}

// maxDepth bounds the directories below one another, and with them the descriptors that are open.
const maxDepth = 128

// copier copies a hostile tree by descriptors.
type copier struct {
	ids  IDMap
	room *room
}

// directory copies what is in the directory from into the directory to.
func (c copier) directory(from, to, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("more than %d directories below one another: %w", maxDepth, fs.ErrInvalid)
	}
	f, err := openIn(from, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			if err := c.entry(int(f.Fd()), to, name, depth); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// entry copies one entry of a directory.
func (c copier) entry(from, to int, name string, depth int) error {
	f, err := openIn(from, name, unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, unix.EXDEV) { // something the node has mounted there
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if err := c.room.take(entrySize); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = c.subdirectory(f, to, name, st, depth)
	case unix.S_IFREG:
		err = c.file(f, to, name, st)
	case unix.S_IFLNK:
		err = c.link(f, to, name, st)
	case unix.S_IFIFO, unix.S_IFSOCK:
		if err = unix.Mknodat(to, name, st.Mode&unix.S_IFMT|0o600, 0); err == nil {
			err = c.describeNamed(to, name, st)
		}
	}
	return err
}

func (c copier) subdirectory(f *os.File, to int, name string, st unix.Stat_t, depth int) error {
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	dir, err := openIn(to, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := c.directory(int(f.Fd()), int(dir.Fd()), depth+1); err != nil {
		return err
	}
	return errors.Join(c.describe(int(dir.Fd()), st), c.xattrs(f, dir))
}

// file copies a regular file, no more of it than it is large now.
func (c copier) file(f *os.File, to int, name string, st unix.Stat_t) error {
	in, err := reopen(f)
	if err != nil {
		return err
	}
	defer in.Close()
	fd, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), name)
	defer out.Close()
	if err := c.data(in, out, st.Size); err != nil {
		return err
	}
	return errors.Join(c.describe(fd, st), c.xattrs(f, out))
}

// data copies the first bytes of a file and leaves its holes: see lseek(2), SEEK_DATA. ENXIO is that no data follows.
func (c copier) data(in, out *os.File, size int64) error {
	for at := int64(0); at < size; {
		begin, err := in.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && begin >= size {
			break
		}
		if err != nil {
			return err
		}
		end, err := in.Seek(begin, unix.SEEK_HOLE)
		if errors.Is(err, unix.ENXIO) { // it became shorter
			break
		}
		if err != nil {
			return err
		}
		at = min(max(end, begin+1), size)
		if err := c.extent(in, out, begin, at); err != nil {
			return err
		}
	}
	return out.Truncate(size)
}

// extent copies the bytes of a file between two places.
func (c copier) extent(in, out *os.File, begin, end int64) error {
	if err := c.room.takePages(begin, end); err != nil {
		return err
	}
	for _, f := range []*os.File{in, out} {
		if _, err := f.Seek(begin, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.Copy(out, io.LimitReader(in, end-begin))
	return err
}

func (c copier) link(f *os.File, to int, name string, st unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", target)
	if err != nil {
		return err
	}
	if err := c.room.take(uint64(n)); err != nil {
		return err
	}
	if err := unix.Symlinkat(string(target[:n]), to, name); err != nil {
		return err
	}
	return c.own(to, name, unix.AT_SYMLINK_NOFOLLOW, st)
}

// describe gives an open copy the owner, mode and times of what it is a copy of.
func (c copier) describe(fd int, st unix.Stat_t) error {
	if err := c.own(fd, "", unix.AT_EMPTY_PATH, st); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(fd, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// describeNamed is describe for what is not opened; its name is in a directory that nobody else has.
func (c copier) describeNamed(dir int, name string, st unix.Stat_t) error {
	if err := c.own(dir, name, unix.AT_SYMLINK_NOFOLLOW, st); err != nil {
		return err
	}
	return unix.Fchmodat(dir, name, st.Mode&0o7777, 0)
}

// own gives a copy to the owner of the original; one who is not mapped becomes the container's superuser.
func (c copier) own(dir int, name string, flags int, st unix.Stat_t) error {
	uid, gid, _ := c.ids.root()
	if id, ok := c.ids.UID(st.Uid); ok {
		uid = id
	}
	if id, ok := c.ids.GID(st.Gid); ok {
		gid = id
	}
	return unix.Fchownat(dir, name, int(uid), int(gid), flags)
}

// copied are the extended attributes that mean the same in a copy.
func copied(name string) bool {
	return strings.HasPrefix(name, "user.") || name == "security.capability"
}

// xattrs copies extended attributes from an O_PATH descriptor. A tmpfs has those of users since Linux 6.6.
func (c copier) xattrs(from, to *os.File) error {
	path := fmt.Sprintf("/proc/thread-self/fd/%d", from.Fd())
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, list)
	if err != nil {
		return nil // the file system has none
	}
	value := make([]byte, 64<<10)
	for name := range bytes.SplitSeq(list[:n], []byte{0}) {
		if !copied(string(name)) {
			continue
		}
		size, err := unix.Getxattr(path, string(name), value)
		if err == nil {
			err = c.room.take(uint64(len(name) + size))
		}
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), string(name), value[:size], 0)
		}
		if err != nil && err != unix.EOPNOTSUPP && err != unix.ENODATA {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// openIn opens a bare name in a directory, without following a link or entering a mount.
func openIn(dir int, name string, flags int) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS}
	if flags&unix.O_NOFOLLOW == 0 {
		how.Resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := unix.Openat2(dir, name, &how)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// reopen opens for reading what an O_PATH descriptor of a regular file is of.
func reopen(f *os.File) (*os.File, error) {
	return os.OpenFile(fmt.Sprintf("/proc/thread-self/fd/%d", f.Fd()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
