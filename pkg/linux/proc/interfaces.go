package proc

import (
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Interfaces are the network interfaces the process sees, in the order of the kernel. Nobody enters its network for that.
func (d Dir) Interfaces() ([]spec.InterfaceStats, error) {
	text, err := d.read("net/dev", maxFile)
	return parseInterfaces(string(text)), err
}

// The columns of /proc/PID/net/dev after the name; see proc_pid_net(5).
const (
	columnRx  = 0
	columnTx  = 8
	columnAll = 16
)

// parseInterfaces reads two lines of header, then one for each interface. A name holds no white space and no colon but, perhaps, that of an
// alias (dev_valid_name in net/core/dev.c), and a colon follows it.
func parseInterfaces(text string) (all []spec.InterfaceStats) {
	for line := range strings.Lines(text) {
		end := strings.LastIndexByte(line, ':')
		if end < 0 {
			continue
		}
		words := strings.Fields(line[end+1:])
		if len(words) < columnAll {
			continue
		}
		n := func(column int) uint64 { return unsigned(words[column]) }
		all = append(all, spec.InterfaceStats{
			Name:    strings.TrimSpace(line[:end]),
			RxBytes: n(columnRx), RxPackets: n(columnRx + 1), RxErrors: n(columnRx + 2), RxDropped: n(columnRx + 3),
			TxBytes: n(columnTx), TxPackets: n(columnTx + 1), TxErrors: n(columnTx + 2), TxDropped: n(columnTx + 3),
		})
	}
	return all
}
