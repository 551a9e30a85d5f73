package meter

import (
	"os"
	"strconv"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// process is what a process uses. The zero value is one that is not there.
type process struct {
	spec.Process
	descriptors int
}

// bootTime is when the node began, as far as that can be known; the zero value else.
func bootTime() time.Time {
	boot, _ := proc.BootTime()
	return boot
}

// processOf reads a process.
func (h *Handler) processOf(pid int) (p process) {
	dir, err := proc.Open(pid)
	if err != nil {
		return p
	}
	defer dir.Close()
	if p.Process, err = dir.Process(h.boot); err != nil {
		return process{}
	}
	p.descriptors = descriptorsOf("/proc/" + strconv.Itoa(pid) + "/fd")
	return p
}

// descriptorsOf counts open descriptors. Linux 6.2 and newer say in the size of the directory how many there are.
func descriptorsOf(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if info.Size() > 0 {
		return int(info.Size())
	}
	dir, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return len(names)
}
