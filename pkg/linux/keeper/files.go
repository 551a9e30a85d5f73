package keeper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// raiseFiles lets this process have as many descriptors as the kernel gives one, or as its hard limit does where that may not be
// raised: a container takes about ten. See RLIMIT_NOFILE in getrlimit(2), nr_open in proc_sys_fs(5).
func raiseFiles() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	text, _ := os.ReadFile("/proc/sys/fs/nr_open")
	if most, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && most > limit.Max {
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}) == nil { // needs CAP_SYS_RESOURCE
			return
		}
	}
	limit.Cur = limit.Max
	unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// duplicate copies descriptors; after an error there are none.
func duplicate(files map[string]*os.File) (copies map[string]*os.File, err error) {
	copies = map[string]*os.File{}
	for name, f := range files {
		fd, err := unix.FcntlInt(uintptr(number(f)), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, f := range copies {
				f.Close()
			}
			return nil, os.NewSyscallError("fcntl", err)
		}
		copies[name] = os.NewFile(uintptr(fd), f.Name())
	}
	return copies, nil
}
