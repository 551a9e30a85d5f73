package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pipeSize is what a pipe is asked to hold while no one drains it; a busy kernel may refuse, see fcntl(2), F_SETPIPE_SZ.
const pipeSize = 256 << 10

// openFIFO opens a FIFO in dir for reading and writing, made if missing, and anew if something else has its place. One description serves keeper and container: the
// container's end never breaks, whoever dies, and the keeper never blocks on it because it only splices.
// Its mode lets every user of the container open /dev/stdout again; on the node, the directories above it are closed.
func openFIFO(dir, name string) (*os.File, error) {
	path := filepath.Join(dir, name)
	if err := makeFIFO(path); err != nil {
		return nil, err
	}
	fd, err := openNamed(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if err := prepareFIFO(fd); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot use %s: %w", path, err)
	}
	return f, nil
}

// openNamed opens what has a name, and never what a link there leads to, for reading and writing. It does so in two steps because O_NOFOLLOW
// stays among the flags of an open file, and a restored container is to open its own again by a link of /proc/self/fd.
func openNamed(path string) (int, error) {
	handle, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	var st unix.Stat_t
	if err := unix.Fstat(handle, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return -1, unix.ELOOP
	}
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", handle), unix.O_RDWR|unix.O_CLOEXEC, 0)
}

// makeFIFO makes a FIFO if there is none.
func makeFIFO(path string) error {
	err := unix.Mkfifo(path, 0o666)
	if errors.Is(err, unix.EEXIST) {
		info, failed := os.Lstat(path)
		if failed != nil {
			return failed
		}
		if info.Mode().Type() == fs.ModeNamedPipe {
			return nil
		}
		if failed := os.Remove(path); failed != nil {
			return failed
		}
		err = unix.Mkfifo(path, 0o666)
	}
	if err != nil {
		return &fs.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	return nil
}

func prepareFIFO(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fs.ErrInvalid
	}
	unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize)
	return unix.Fchmod(fd, 0o666)
}
