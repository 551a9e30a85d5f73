package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Error says which step of a start failed, on what, and why.
type Error struct {
	Step  string     // what could not be done, in the user's words
	Path  string     // what it was to be done to, if anything
	Errno unix.Errno // why
	Op    int        // index into Program.Ops, or -1: the process could not be made at all
	Exec  bool       // the step was the execution of the command
	Birth bool       // the step was a rebirth
	// Signal is what killed the child before it executed anything: Errno is EINTR then, or ETIMEDOUT if that was for
	// taking longer than Timeout. 0 for an ordinary error.
	Signal unix.Signal
}

// Error is one line, and a second one with a hint where one action helps.
func (e *Error) Error() string {
	text := "cannot " + e.Step
	if e.Path != "" {
		text += " " + e.Path
	}
	switch {
	case e.Errno == unix.ETIMEDOUT && e.Signal == unix.SIGKILL:
		text += fmt.Sprintf(": still not done %v after the start", Timeout)
	case e.Errno == unix.EINTR && e.Signal != 0:
		text += ": killed by " + unix.SignalName(e.Signal)
	default:
		text += ": " + e.Errno.Error()
	}
	if hint := e.Hint(); hint != "" {
		text += "\nhint: " + hint
	}
	return text
}

// Unwrap gives the errno, for errors.Is.
func (e *Error) Unwrap() error { return e.Errno }

// Hint is the one action that helps, or "".
func (e *Error) Hint() string {
	switch {
	case e.Op < 0 && e.Path != "":
		return pidNamespaceHints[e.Errno]
	case e.Op < 0:
		return cloneHints[e.Errno]
	case e.Exec:
		return execHints[e.Errno]
	case e.Birth && e.Errno == unix.EPERM:
		return "a seccomp filter must allow prctl (PR_SET_NAME) and clone (CLONE_PARENT)"
	case e.Birth:
		return cloneHints[e.Errno]
	}
	return ""
}

// OfCommand tells that everything went well up to the command, which could not be executed.
func (e *Error) OfCommand() bool { return e.Exec }

// execHints are the common causes of a failed execve(2).
var execHints = map[unix.Errno]string{
	unix.ENOENT:  "the file, or the interpreter or loader that it names, is not in the rootfs",
	unix.EACCES:  "it must be a file executable for the user, on a mount without noexec",
	unix.ENOEXEC: "it is neither a program for this machine nor a script that begins with #!",
}

// cloneHints are the causes of a failed clone3; man 2 clone, section ERRORS.
var cloneHints = map[unix.Errno]string{
	unix.EAGAIN:     "a limit on processes is reached: look at pids.max of the cgroup and its parents, and kernel.threads-max",
	unix.EBUSY:      "the cgroup passes controllers on (cgroup.subtree_control), so it cannot hold processes of its own",
	unix.EOPNOTSUPP: "the cgroup is of type \"domain invalid\": see cgroup.type",
	unix.ENODEV:     "the cgroup has been removed",
	unix.ENOENT:     "the cgroup has been removed",
	unix.ENOSPC:     "a limit on the number of namespaces is reached: look at the files in /proc/sys/user, such as max_pid_namespaces",
	unix.EPERM:      "new namespaces need CAP_SYS_ADMIN",
	unix.EACCES:     "writing to cgroup.procs of the cgroup, and of the common parent of it and the starter's own, must be permitted",
	unix.ENOMEM:     "the first process of the pid namespace has ended, so that it takes no more, or memory is short",
	unix.ENOSYS:     "clone3 needs Linux 5.7, and a seccomp filter around this process must allow it",
}

// pidNamespaceHints are the causes of a failed setns; man 2 setns, section ERRORS.
var pidNamespaceHints = map[unix.Errno]string{
	unix.EINVAL: "it must be a pid namespace, or a process in one, that is this process's own or below it",
	unix.ESRCH:  "the process has ended",
	unix.EPERM:  "joining a pid namespace needs CAP_SYS_ADMIN",
}
