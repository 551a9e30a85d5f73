package image_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// filter sets the seccomp filter of these tests.
func filter() error {
	program := unix.SockFprog{Len: 1, Filter: (*unix.SockFilter)(unsafe.Pointer(&allowAll[0]))}
	if _, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}
