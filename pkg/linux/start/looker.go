package start

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
)

// lookers are the capabilities to look into processes, whoever they belong to: ptrace(2), "Ptrace access mode checking", and
// perf_event_open(2), whose samples hold pieces of the stack.
var lookers = capability.Of(unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN, unix.CAP_PERFMON)

// Exposes tells whether the container's processes may look into others in their pid namespace; user is its user namespace, nil for none.
func (plan Plan) Exposes(user *os.File) bool {
	return user == nil && plan.Attribute.Capabilities.Bounding&lookers != 0
}

// CheckJoin refuses a start in a pid namespace where somebody could look into it: a child that mounts its /proc there is one of the node's
// processes until its command runs. In this process's own, which nil stands for as well, there is nobody but the node's.
func CheckJoin(pidns *os.File) error {
	if pidns == nil {
		return nil
	}
	want, err := namespace.Of(pidns)
	if err != nil {
		return err
	}
	pid, may, err := looker(want)
	if err != nil || may == 0 {
		return err
	}
	return fmt.Errorf("process %d in pid namespace %s may look into those that join it (%v), which until their command runs are part of the node: %w\nhint: give its container users of its own, in a user namespace, or take that from it",
		pid, pidns.Name(), may, errors.ErrUnsupported)
}

// Shield confines an exec for who does not know of all that is done to the container. One that cannot be is refused where somebody could look
// into it; one whose filter notifies is confined there alone, since who decides is told of the process that has the listener.
func (e *Exec) Shield(t *Target) error {
	if e.Attribute.Reborn {
		return nil
	}
	if !e.Attribute.Seccomp.Notifies() && e.Confine() == nil {
		return nil
	}
	want, err := t.PIDNamespace()
	if err != nil {
		return err
	}
	if _, may, err := looker(want); err != nil || may == 0 {
		return err
	}
	return e.Confine()
}

// looker is a process in a pid namespace that may come to hold some of lookers, and has the node's users, but not its files, through which it is part of the node
// already; may is 0 when there is none.
func looker(in namespace.ID) (pid int, may capability.Set, err error) {
	users, err := namespace.OfProcess(os.Getpid(), namespace.FileUser)
	if err != nil {
		return 0, 0, err
	}
	if own, err := namespace.OfProcess(os.Getpid(), namespace.FilePID); err != nil || own == in {
		return 0, 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0, fmt.Errorf("cannot look for processes in a pid namespace: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if its, err := namespace.OfProcess(pid, namespace.FilePID); err != nil || its != in { // an error: it has ended
			continue
		}
		if of, err := namespace.OfProcess(pid, namespace.FileUser); err != nil || of != users {
			continue
		}
		if may = mayLook(pid); may != 0 && !hasFiles(pid) {
			return pid, may, nil
		}
	}
	return 0, 0, nil
}

// mayLook are the lookers of a process, by any of its threads: each has its own. One that is dead and not reaped, whose threads are, has none.
func mayLook(pid int) (may capability.Set) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
	for _, thread := range threads {
		text, err := os.ReadFile(thread + "/stat")
		state := bytes.TrimSpace(text[bytes.LastIndexByte(text, ')')+1:])
		if err != nil || bytes.HasPrefix(state, []byte("Z")) || bytes.HasPrefix(state, []byte("X")) {
			continue
		}
		number, _ := strconv.Atoi(filepath.Base(thread))
		if bounding, err := capability.BoundingOf(number); err == nil {
			may |= bounding & lookers
		}
	}
	return may
}

// hasFiles tells whether a process has the root that this one has.
func hasFiles(pid int) bool {
	own, err := namespace.OfProcess(os.Getpid(), "mnt")
	if err != nil {
		return false
	}
	if its, err := namespace.OfProcess(pid, "mnt"); err != nil || its != own {
		return false
	}
	root, err := os.Stat("/")
	if err != nil {
		return false
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/root", pid))
	return err == nil && os.SameFile(root, its)
}
