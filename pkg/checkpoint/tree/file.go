package tree

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// file saves what is no directory.
func (s *saver) file(dir int, name, full string, st *unix.Statx_t, hides bool) error {
	e := described(full, st)
	if st.Nlink > 1 && e.kind != 0 {
		id := inode{st.Dev_major, st.Dev_minor, st.Ino}
		if first, ok := s.links[id]; ok {
			e = &entry{name: full, kind: kindHardLink, link: first, mode: e.mode, uid: e.uid, gid: e.gid, modified: e.modified}
			return s.out.entry(e, none)
		}
		s.links[id] = full
	}
	var err error
	switch e.kind {
	case kindFile:
		err = s.data(dir, name, e, st)
	case kindSymlink:
		if e.link, err = readlink(dir, name); err == nil {
			err = s.out.entry(e, none)
		}
	case kindFIFO, kindCharacter, kindBlock:
		if e.xattrs, err = xattrsAt(dir, name); err == nil {
			err = s.out.entry(e, none)
		}
	default: // a socket
		if hides {
			s.deleted = append(s.deleted, full)
		}
	}
	if err != nil {
		return fmt.Errorf("%q: %w", full, err)
	}
	return nil
}

// data saves a regular file.
func (s *saver) data(dir int, name string, e *entry, st *unix.Statx_t) error {
	fd, err := openFile(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if e.xattrs, err = xattrsOf(fd); err != nil {
		return err
	}
	e.segments = []segment{{0, e.size}}
	if st.Blocks*512 < st.Size {
		found, err := findSegments(fd, e.size)
		if err != nil {
			return fmt.Errorf("cannot look for holes: %w", err)
		}
		if len(found) != 1 || found[0] != e.segments[0] {
			e.segments, e.sparse = found, true
		}
	}
	return s.out.entry(e, fd)
}

// described is an entry as the kernel describes the file; of a socket it has no kind.
func described(name string, st *unix.Statx_t) *entry {
	e := &entry{
		name: name, mode: uint32(st.Mode) & 0o7777, uid: st.Uid, gid: st.Gid,
		modified: timestamp{st.Mtime.Sec, int64(st.Mtime.Nsec)},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.kind, e.size = kindFile, int64(st.Size)
	case unix.S_IFDIR:
		e.kind = kindDirectory
	case unix.S_IFLNK:
		e.kind = kindSymlink
	case unix.S_IFIFO:
		e.kind = kindFIFO
	case unix.S_IFCHR:
		e.kind, e.major, e.minor = kindCharacter, st.Rdev_major, st.Rdev_minor
	case unix.S_IFBLK:
		e.kind, e.major, e.minor = kindBlock, st.Rdev_major, st.Rdev_minor
	}
	return e
}

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	return string(buf[:max(n, 0)]), err
}
