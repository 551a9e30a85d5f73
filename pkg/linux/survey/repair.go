package survey

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// EndRepair lets the connections of processes go on that a criu has left in repair, which was killed: the kernel neither sends nor takes anything for a socket in TCP_REPAIR.
// See criu/soccr. What ends meanwhile is passed over.
func EndRepair(cgroup string) error {
	pids, err := Pids(cgroup, nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range pids {
		if err := endRepair(pid); err != nil && !Gone(err) {
			errs = append(errs, fmt.Errorf("process %d (%s): cannot let its connections go on: %w", pid, comm(pid), err))
		}
	}
	return errors.Join(errs...)
}

func endRepair(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		link, err := os.Readlink(dir + "/" + entry.Name())
		if err != nil || !strings.HasPrefix(link, "socket:") {
			continue
		}
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, number, 0)
		if err != nil {
			continue // it is closed by now
		}
		if on, failed := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR); failed == nil && on != 0 { // else it is no TCP socket
			err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_OFF)
		}
		if err = errors.Join(err, unix.Close(fd)); err != nil {
			return err
		}
	}
	return nil
}
