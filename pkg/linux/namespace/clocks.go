package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// FileProc is a proc file system of the keeper's pid namespace, used for clocks of its own: attribute.FileProc.
const FileProc = "proc"

// Clocks are the monotonic and boot-time clocks of a container; the zero value is the node's.
type Clocks struct {
	// Private gives it a time namespace.
	Private bool
	// Monotonic and Boottime are what its clocks are ahead of the node's.
	Monotonic, Boottime time.Duration
}

// NewClocks are the clocks that a manifest asks for. A node that has none to give is errors.ErrUnsupported.
func NewClocks(t spec.TimeNamespace, node capability.Node) (Clocks, error) {
	if err := t.Check(); err != nil {
		return Clocks{}, fmt.Errorf("cannot use namespaces.time: %w: %w", err, fs.ErrInvalid)
	}
	if !t.Private() {
		return Clocks{}, nil
	}
	if err := feature.TimeNamespaces.Probe(); err != nil {
		return Clocks{}, fmt.Errorf("cannot give the container clocks of its own: %w", err)
	}
	if !node.Have.Has(unix.CAP_SYS_TIME) {
		return Clocks{}, fmt.Errorf("cannot give the container clocks of its own: the node's keeper does not hold SYS_TIME: %w", errors.ErrUnsupported)
	}
	return Clocks{Private: true, Monotonic: time.Duration(t.Monotonic), Boottime: time.Duration(t.Boottime)}, nil
}

// append adds the ops that give the child a time namespace, which its execve enters: until then its clocks are the node's. Offsets
// can be written only before anybody is in it; see time_namespaces(7).
func (c Clocks) append(p *process.Program) {
	if !c.Private {
		return
	}
	const path = "self/timens_offsets"
	p.Call("make time namespace", "", unix.SYS_UNSHARE, process.Int(unix.CLONE_NEWTIME))
	text := offset("monotonic", c.Monotonic) + offset("boottime", c.Boottime)
	fd := p.Openat2FD("set clocks", path, p.File(FileProc), path, unix.O_WRONLY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
	shown := fmt.Sprintf("monotonic %v, boottime %v", c.Monotonic, c.Boottime)
	p.Call("set clocks", shown, unix.SYS_WRITE, fd, process.Data([]byte(text)), process.Int(len(text)))
}

// offset is a line of timens_offsets: seconds, which may be negative, and nanoseconds, which may not.
func offset(clock string, d time.Duration) string {
	seconds, rest := d/time.Second, d%time.Second
	if rest < 0 {
		seconds, rest = seconds-1, rest+time.Second
	}
	return fmt.Sprintf("%s %d %d\n", clock, seconds, rest)
}
