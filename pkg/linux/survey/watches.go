package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
)

// An inotify watch is saved with a path. The kernel tells inode numbers, of which criu finds the path where files can be opened by their handles; an overlay without an
// index, such as the root of a container, has none that can be opened (Documentation/filesystems/overlayfs.rst, NFS export). So it is searched beforehand,
// while everything runs.

// watch is what an inotify instance waits for, as /proc/PID/fdinfo has it.
type watch struct{ device, inode uint64 }

// watches reads those of an inotify instance.
func watches(own int) (all []watch, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", own))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		var wd uint64
		var w watch
		if _, err := fmt.Sscanf(line, "inotify wd:%x ino:%x sdev:%x", &wd, &w.inode, &w.device); err == nil {
			all = append(all, w)
		}
	}
	return all, nil
}

// watched finds the paths of what is watched on overlays.
func (s *surveyor) watched(mounts []proc.Mount) error {
	for _, m := range mounts {
		var major, minor uint64
		if _, err := fmt.Sscanf(m.Device, "%d:%d", &major, &minor); err != nil || m.Type != "overlay" {
			continue
		}
		wanted := map[uint64]bool{}
		for _, w := range s.watches {
			if w.device == major<<20|minor { // MKDEV of linux/kdev_t.h
				wanted[w.inode] = true
			}
		}
		if len(wanted) == 0 {
			continue
		}
		dir, err := OpenInside(s.Init, m.Point, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		look := search{wanted: wanted, left: maxSearched}
		err = look.directory(dir, m.Point, maxSearchedDepth)
		s.found.Watched = append(s.found.Watched, look.found...)
		if err != nil {
			return fmt.Errorf("cannot look for what is watched: %w", err)
		}
		if len(wanted) > 0 {
			return unsupported("it watches files (inotify) of %s that have no name there, or too many others beside them", m.Point)
		}
	}
	return nil
}

// maxSearched bounds a search: 100,000 take a tenth of a second.
const maxSearched = 1 << 20

// maxSearchedDepth bounds the descriptors that a search has open.
const maxSearchedDepth = 512

// search looks for inodes of one file system.
type search struct {
	wanted map[uint64]bool // those that are not found yet
	found  []string
	left   int
	device uint64
}

// directory looks through a directory, which it closes, for as long as anything is wanted, and through so many levels below it.
func (s *search) directory(dir *os.File, at string, depth int) error {
	defer dir.Close()
	if depth == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	if s.device == 0 {
		s.device = st.Dev
	}
	if st.Dev != s.device {
		return nil // another mount
	}
	s.take(st.Ino, at)
	for len(s.wanted) > 0 && s.left > 0 {
		entries, err := dir.ReadDir(1 << 10)
		for _, entry := range entries {
			s.left--
			if err := s.entry(dir, path.Join(at, entry.Name()), entry, depth); err != nil {
				return err
			}
		}
		if err != nil || len(entries) == 0 {
			break
		}
	}
	return nil
}

func (s *search) entry(dir *os.File, at string, entry fs.DirEntry, depth int) error {
	if len(s.wanted) == 0 {
		return nil
	}
	if entry.IsDir() {
		fd, err := unix.Openat(int(dir.Fd()), entry.Name(), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if slices.ContainsFunc([]error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES}, func(gone error) bool { return errors.Is(err, gone) }) {
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "open", Path: at, Err: err}
		}
		return s.directory(os.NewFile(uintptr(fd), at), at, depth-1)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), entry.Name(), &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Dev == s.device {
		s.take(st.Ino, at)
	}
	return nil
}

func (s *search) take(inode uint64, at string) {
	if s.wanted[inode] {
		delete(s.wanted, inode)
		if at == "/" { // criu goes on after the first slash
			at = "/."
		}
		s.found = append(s.found, at)
	}
}
