package tree_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// snapshot is all that can be seen of a tree, a line for each name. Sockets are left out.
func snapshot(t testing.TB, root string) (lines []string) {
	t.Helper()
	links := map[[2]uint64]string{}
	must(t, filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		line, err := describe(path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			return nil
		}
		if st.Nlink > 1 && !d.IsDir() {
			id := [2]uint64{st.Dev, st.Ino}
			if first := links[id]; first != "" {
				line += fmt.Sprintf(" = %q", first)
			} else {
				links[id] = name
			}
		}
		lines = append(lines, fmt.Sprintf("%q %s", name, line))
		return nil
	}))
	return lines
}

// describe is what can be seen of one file, but its name.
func describe(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return line + fmt.Sprintf(" -> %q", target), err
	case unix.S_IFREG:
		sum, err := hashed(path, st.Size)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %d %x", st.Size, sum)
	case unix.S_IFCHR, unix.S_IFBLK:
		line += fmt.Sprintf(" %x", st.Rdev)
	}
	attributes, err := xattrsOf(path)
	return line + attributes, err
}

// hashed is a hash of a file's data; of a long one without its holes, which may be very long.
func hashed(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if size < 16<<20 {
		_, err := io.Copy(h, f)
		return h.Sum(nil), err
	}
	for at := int64(0); ; {
		begin, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return h.Sum(nil), nil
		}
		if err != nil {
			return nil, err
		}
		if at, err = f.Seek(begin, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		fmt.Fprintf(h, "%d %d\n", begin, at)
		if _, err := io.Copy(h, io.NewSectionReader(f, begin, at-begin)); err != nil {
			return nil, err
		}
	}
}

// xattrsOf are the extended attributes that users and administrators set.
func xattrsOf(path string) (line string, err error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return "", err
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %q=%x", name, buf[:n])
	}
	return line, nil
}

// same compares snapshots.
func same(t testing.TB, got, want []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("too much: %s", line)
		}
	}
}
