// Package first looks at the process before package syscall is initialised, which raises the limit of open files. It imports nothing, and its path
// sorts before syscall: packages are initialised in that order once what they import is (Go specification, "Program initialization").
package first

// NoFile is RLIMIT_NOFILE as the process was started with, soft and hard.
var NoFile [2]uint64

// Errno is why it is not known, or 0.
var Errno = -prlimit(7, &NoFile) // RLIMIT_NOFILE

// prlimit is prlimit(2) of this process, and gives what the kernel does: 0, or an error number below it.
func prlimit(resource int, limit *[2]uint64) int
