package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dir is the directory of one process in /proc. It goes on meaning that process when the number is another's: reading then fails.
type Dir struct {
	dir *os.File
}

// Open opens the directory of a process; fs.ErrNotExist when there is none.
func Open(pid int) (Dir, error) {
	dir, err := os.OpenFile("/proc/"+strconv.Itoa(pid), unix.O_DIRECTORY|unix.O_PATH, 0)
	return Dir{dir}, err
}

// Close closes it.
func (d Dir) Close() error { return d.dir.Close() }

// maxFile bounds what is read of a file. The longest are those of a process with many groups or interfaces.
const maxFile = 1 << 20

// read reads a file, at most limit bytes of it. A process that has ended meanwhile is fs.ErrNotExist.
func (d Dir) read(name string, limit int) ([]byte, error) {
	fd, err := unix.Openat(int(d.dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.failed(name, err)
	}
	defer unix.Close(fd)
	text := make([]byte, 0, min(limit, 4<<10))
	for len(text) < limit {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := unix.Read(fd, text[len(text):min(cap(text), limit)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, d.failed(name, err)
		case n == 0:
			return text, nil
		}
		text = text[:len(text)+n]
	}
	return text, nil
}

func (d Dir) failed(name string, err error) error {
	if errors.Is(err, unix.ESRCH) {
		err = fs.ErrNotExist
	}
	return fmt.Errorf("cannot read %s: %w", d.dir.Name()+"/"+name, err)
}
