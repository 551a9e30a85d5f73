package image

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// stamp tells one state of a file from another: who writes to a file, or puts another in its place, changes it.
type stamp struct {
	Dev   uint64 `json:"dev"`
	Ino   uint64 `json:"ino"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // ns
	Ctime int64  `json:"ctime"` // ns
}

func stampOf(s unix.Stat_t) stamp {
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}
}

// statAt looks at a regular file beneath a folder without opening it for reading.
func statAt(f folder, name string) (stamp, error) {
	file, err := f.open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return stamp{}, err
	}
	defer file.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return stamp{}, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return stamp{}, fmt.Errorf("%s is not a file: %w", f.path(name), fs.ErrInvalid)
	}
	return stampOf(stat), nil
}

// bootID names the run of the machine: what was seen in another one does not count.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
