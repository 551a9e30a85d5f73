package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Connected tells whether anybody has a TCP connection in the container's network, one that nobody has accepted yet included: then packets have to be kept
// out while an image is taken of it. See proc_net_tcp.rst.
func (d *Dump) Connected() (bool, error) { return d.hasTCP("01") } // TCP_ESTABLISHED

// Listens tells whether anybody in the container's network waits for TCP connections.
func (d *Dump) Listens() (bool, error) { return d.hasTCP("0A") } // TCP_LISTEN

// usesTCP tells whether anybody in the container's network has a TCP socket that is connected or waits. The kernel counts those; for a list of them it looks
// through all that the node could have, which takes it milliseconds.
func (d *Dump) usesTCP() (bool, error) {
	for _, name := range []string{"sockstat", "sockstat6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", d.Instance.Pid, name))
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

func (d *Dump) hasTCP(state string) (bool, error) {
	if any, err := d.usesTCP(); err != nil || !any {
		return false, err
	}
	const stateColumn, inodeColumn = 3, 9
	others := d.Network == 0 && !OwnsNetwork(d.Instance.Spec.Spec) // the node's network has connections that are not the container's
	for _, family := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", d.Instance.Pid, family))
		if errors.Is(err, fs.ErrNotExist) && family == "tcp6" {
			continue
		}
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > inodeColumn && fields[stateColumn] == state && (!others || d.sockets[fields[inodeColumn]]) {
				return true, nil
			}
		}
	}
	return false, nil
}
