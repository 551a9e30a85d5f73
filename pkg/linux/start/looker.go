package start

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
)

// lookers are the capabilities to look into processes, whoever they belong to: ptrace(2), "Ptrace access mode checking", and
// perf_event_open(2), whose samples hold pieces of the stack.
var lookers = capability.Of(unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN, unix.CAP_PERFMON)

// CheckJoin refuses a start in a pid namespace where somebody could look into it: a child that mounts its /proc there is one of the node's
// processes until its command runs. That is a process which may come to hold one of lookers, and has the node's users.
func CheckJoin(pidns *os.File) error {
	want, err := namespace.Of(pidns)
	if err != nil {
		return err
	}
	users, err := namespace.OfProcess(os.Getpid(), namespace.FileUser)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("cannot look for processes in pid namespace %s: %w", pidns.Name(), err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if in, err := namespace.OfProcess(pid, namespace.FilePID); err != nil || in != want { // an error: it has ended
			continue
		}
		if of, err := namespace.OfProcess(pid, namespace.FileUser); err != nil || of != users {
			continue
		}
		if bounding, err := capability.BoundingOf(pid); err == nil && bounding&lookers != 0 {
			return fmt.Errorf("process %d in pid namespace %s may look into those that join it (%v), which until their command runs are part of the node: %w\nhint: give its container users of its own: namespaces: {user: {mode: Auto}}",
				pid, pidns.Name(), bounding&lookers, errors.ErrUnsupported)
		}
	}
	return nil
}
