package capability

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
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
	permitted, err := statusSet(status, "CapPrm:")
	if err != nil {
		return Node{}, err
	}
	bounding, err := statusSet(status, "CapBnd:")
	if err != nil {
		return Node{}, err
	}
	return Node{Have: permitted & bounding, Last: n}, nil
}

// BoundingOf is what a process and all that come of it can hold at most.
func BoundingOf(pid int) (Set, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot read the capabilities of process %d: %w", pid, err)
	}
	return statusSet(status, "CapBnd:")
}

// statusSet reads one line of /proc/PID/status, a set in hexadecimal.
func statusSet(status []byte, key string) (Set, error) {
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				return 0, fmt.Errorf("cannot read %s %w", key, err)
			}
			return Set(n), nil
		}
	}
	return 0, fmt.Errorf("cannot find %s in /proc/PID/status", key)
}
