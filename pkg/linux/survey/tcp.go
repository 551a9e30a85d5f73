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
	for _, name := range []string{"sockstat", "sockstat6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if errors.Is(err, fs.ErrNotExist) && name == "sockstat6" {
			continue
		}
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(fields[0], "TCP") && fields[2] != "0" {
				return true, nil
			}
		}
	}
	return false, nil
}

func hasTCP(pid int, state string, sockets map[string]bool) (bool, error) {
	if any, err := usesTCP(pid); err != nil || !any {
		return false, err
	}
	const stateColumn, inodeColumn = 3, 9
	for _, family := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, family))
		if errors.Is(err, fs.ErrNotExist) && family == "tcp6" {
			continue
		}
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > inodeColumn && fields[stateColumn] == state && (sockets == nil || sockets[fields[inodeColumn]]) {
				return true, nil
			}
		}
	}
	return false, nil
}
