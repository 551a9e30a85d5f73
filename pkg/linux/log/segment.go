package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The two files of a segment.
const (
	rawSuffix   = ".log"
	indexSuffix = ".idx"
)

// fileName names a file of segment n. Beyond eight digits the names grow; numbers, not names, give the order.
func fileName(n uint64, suffix string) string { return fmt.Sprintf("%08d%s", n, suffix) }

// segments lists the numbers of a directory's segments in order. Anything else in it is left alone.
func segments(dir string) ([]uint64, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return slices.Compact(ns), nil
}

// segmentNumber is the inverse of fileName.
func segmentNumber(name string) (uint64, bool) {
	for _, suffix := range []string{rawSuffix, indexSuffix} {
		if digits, ok := strings.CutSuffix(name, suffix); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			return n, err == nil && fileName(n, suffix) == name
		}
	}
	return 0, false
}

// openFile opens a file beneath a directory, which must be a regular one and no link.
func openFile(dir *os.File, name string, flags int) (*os.File, int64, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o640)
	if err != nil {
		return nil, 0, &fs.PathError{Op: "open", Path: dir.Name() + "/" + name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, 0, &fs.PathError{Op: "open", Path: dir.Name() + "/" + name, Err: errors.Join(err, fs.ErrInvalid)}
	}
	// A regular file never blocks, so the flag has done its work once no FIFO can hide behind the name.
	unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_CREAT)
	return os.NewFile(uintptr(fd), name), st.Size, nil
}

// openDir opens a directory to work beneath.
func openDir(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}
