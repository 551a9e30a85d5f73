package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// NewUserNamespace makes a user namespace with the given maps and gives its descriptor. Nobody is in it: the process that it
// was made with is stopped at the first instruction of a program of a thousand bytes, and killed.
func NewUserNamespace(ids IDMap) (_ *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make a user namespace: %w", err)
		}
	}()
	program, err := tinyinit.Open()
	if err != nil {
		return nil, err
	}
	defer program.Close()
	runtime.LockOSThread() // ptrace(2) obeys the thread that the child was made by
	defer runtime.UnlockOSThread()
	path := fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	pid, err := syscall.ForkExec(path, []string{"userns"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Ptrace: true, Pdeathsig: unix.SIGKILL,
		UidMappings: rows(ids.UIDs), GidMappings: rows(ids.GIDs), GidMappingsEnableSetgroups: true,
	}})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	killErr := unix.Kill(pid, unix.SIGKILL)
	return f, errors.Join(err, killErr, reap(pid, f))
}

// reap waits for the end of a child; f is closed if that fails.
func reap(pid int, f io.Closer) error {
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case err == unix.EINTR || err == nil && !status.Exited() && !status.Signaled():
		case err != nil:
			return errors.Join(err, f.Close())
		default:
			return nil
		}
	}
}

func rows(maps []spec.IDMapping) (list []syscall.SysProcIDMap) {
	for _, m := range maps {
		list = append(list, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return list
}
