package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Connected tells whether anybody has a TCP connection in a process's network, one that nobody has accepted yet included: then packets have to be kept
// out while an image is taken of it. With sockets, by their inodes, it is about those alone. See proc_net_tcp.rst.
func Connected(pid int, sockets map[string]bool) (bool, error) { return hasTCP(pid, "01", sockets) } // TCP_ESTABLISHED

// Listens tells whether anybody in a process's network waits for TCP connections, or who has one of these sockets.
func Listens(pid int, sockets map[string]bool) (bool, error) { return hasTCP(pid, "0A", sockets) } // TCP_LISTEN

// usesTCP tells whether anybody in the container's network has a TCP socket that is connected or waits. The kernel counts those; for a list of them it looks
// through all that the node could have, which takes it milliseconds.
func usesTCP(pid int) (bool, error) {
	return anyLine(pid, "sockstat", func(fields []string) bool {
		return len(fields) > 2 && strings.HasPrefix(fields[0], "TCP") && fields[2] != "0"
	})
}

func hasTCP(pid int, state string, sockets map[string]bool) (bool, error) {
	if any, err := usesTCP(pid); err != nil || !any {
		return false, err
	}
	const stateColumn, inodeColumn = 3, 9
	return anyLine(pid, "tcp", func(fields []string) bool {
		return len(fields) > inodeColumn && fields[stateColumn] == state && (sockets == nil || sockets[fields[inodeColumn]])
	})
}

// anyLine tells whether a file of a process's network has a line like this, or the one of IPv6 beside it, if the kernel has that.
func anyLine(pid int, name string, is func(fields []string) bool) (bool, error) {
	for _, family := range []string{"", "6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s%s", pid, name, family))
		if errors.Is(err, fs.ErrNotExist) && family != "" {
			continue
		}
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			if is(strings.Fields(line)) {
				return true, nil
			}
		}
	}
	return false, nil
}
