package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// holdPause is between two looks at a feeder's descriptors. As long as that at most a process waits for memory that a feeder is done with.
const holdPause = 5 * time.Millisecond

// userfault is what a link below /proc/PID/fd says of a userfaultfd.
const userfault = "anon_inode:[userfaultfd]"

// holdOn holds what a feeder has, again and again while it lives.
func (in *instance) holdOn(f *feeder) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.feed == f {
		f.hold()
		f.timer = in.k.after(holdPause, func() { in.holdOn(f) })
	}
}

// hold takes a copy of each userfaultfd of a feeder, and lets go of those that it has closed: with one of both open, and nobody to answer, a process that
// touches memory waits. What it closes because it dies is kept.
func (f *feeder) hold() {
	dir := fmt.Sprintf("/proc/%d/fd", f.pid)
	for n, ours := range f.held {
		if isSame(ours, f.pid, n) || f.exiting() { // in this order
			continue
		}
		ours.Close()
		delete(f.held, n)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		n, err := strconv.Atoi(entry.Name())
		if link, _ := os.Readlink(filepath.Join(dir, entry.Name())); err != nil || link != userfault || f.held[n] != nil {
			continue
		}
		if fd, err := unix.PidfdGetfd(number(f.pidfd), n, 0); err == nil {
			f.held[n] = os.NewFile(uintptr(fd), userfault)
		}
	}
}

// letGo closes what is held.
func (f *feeder) letGo() {
	for _, ours := range f.held {
		ours.Close()
	}
	clear(f.held)
}

// exiting tells whether the process is on its way out; one that cannot be asked is gone.
func (f *feeder) exiting() bool {
	stat, err := process.ReadStat(f.pid)
	return err != nil || stat.StartTime != f.started || stat.Exiting
}

// kcmpFile is KCMP_FILE of kcmp(2).
const kcmpFile = 0

// isSame tells whether a file is the one that a process has as a descriptor.
func isSame(f *os.File, pid, fd int) bool {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(pid), kcmpFile, uintptr(number(f)), uintptr(fd), 0)
	return errno == 0 && order == 0
}
