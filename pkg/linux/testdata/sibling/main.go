// Sibling makes children of its parent's (CLONE_PARENT) that end at once, and says how many.
package main

import (
	"fmt"
	"syscall"
)

func main() {
	made := 0
	for range 3 {
		const cloneParent = 0x8000
		pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, cloneParent, 0, 0, 0, 0, 0)
		if pid == 0 && errno == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if errno == 0 {
			made++
		}
	}
	fmt.Println(made)
}
