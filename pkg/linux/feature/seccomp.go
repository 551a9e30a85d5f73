package feature

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What filters of system calls can do beside denying.
var (
	SeccompNotify = &Feature{
		Name: "seccomp-notify", Since: "5.0", Purpose: "SCMP_ACT_NOTIFY in seccomp profiles",
		Remedy: "run a kernel from Linux 5.0 on with CONFIG_SECCOMP_FILTER",
		probe:  func() error { return seccompAction(unix.SECCOMP_RET_USER_NOTIF) },
	}
	SeccompWaitKillable = &Feature{
		Name: "seccomp-wait-killable", Since: "5.19", Purpose: "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV in seccomp profiles",
		Remedy: "run a kernel from Linux 5.19 on, or leave the flag out",
		// Without a filter's address no filter is set; a kernel that does not know the flag says EINVAL before it looks there.
		probe: func() error {
			flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
			_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, 0)
			if errno == unix.EINVAL {
				return unix.ENOSYS
			}
			return answered(errno, unix.EFAULT)
		},
	}
)

// seccompAction asks for SECCOMP_RET_*.
func seccompAction(action uint32) error {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno == unix.EINVAL {
		return because("CONFIG_SECCOMP_FILTER is off")
	}
	return answered(errno)
}
