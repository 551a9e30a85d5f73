package capability

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Node is what the process that starts containers has to give.
type Node struct {
	// Have are the capabilities it holds.
	Have Set
	// Last is the number of the kernel's last capability, /proc/sys/kernel/cap_last_cap.
	Last int
}

// ReadNode reads what process pid, the keeper, holds: CapPrm within CapBnd of /proc/PID/status, see proc_pid_status(5).
func ReadNode(pid int) (Node, error) {
	sets, err := process.ReadSets(pid, "CapPrm", "CapBnd")
	if err != nil {
		return Node{}, fmt.Errorf("cannot read the capabilities of process %d: %w", pid, err)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return Node{}, fmt.Errorf("cannot read the kernel's last capability: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil || n < 0 || n > 63 {
		return Node{}, fmt.Errorf("cannot use cap_last_cap %q: want 0 to 63", bytes.TrimSpace(last))
	}
	return Node{Have: Set(sets[0] & sets[1]), Last: n}, nil
}

// BoundingOf is what a process and all that come of it can hold at most.
func BoundingOf(pid int) (Set, error) {
	sets, err := process.ReadSets(pid, "CapBnd")
	if err != nil {
		return 0, fmt.Errorf("cannot read the capabilities of process %d: %w", pid, err)
	}
	return Set(sets[0]), nil
}
