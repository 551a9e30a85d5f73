package process

import (
	"errors"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// readers are buffers for Read: most files of /proc are read again and again, and say their size only by their end.
var readers = sync.Pool{New: func() any { return &reader{make([]byte, 16<<10)} }}

type reader struct{ buffer []byte }

// Read reads a file of a process in /proc whole, such as stat. It is what os.ReadFile does in twice as many system calls: that asks first whether the file can be
// polled. The error of a process that does not exist is fs.ErrNotExist or ESRCH.
func Read(pid int, name string) (string, error) {
	return readFile("/proc/" + strconv.Itoa(pid) + "/" + name)
}

func readFile(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	r := readers.Get().(*reader)
	defer readers.Put(r)
	for have := 0; ; {
		if have == len(r.buffer) {
			r.buffer = append(r.buffer, make([]byte, have)...)
		}
		n, err := unix.Read(fd, r.buffer[have:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return string(r.buffer[:have]), nil
		default:
			have += n
		}
	}
}
