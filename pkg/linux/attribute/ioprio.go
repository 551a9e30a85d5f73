package attribute

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// IOPriority is what ioprio_set(2) sets: the class, shifted, and the priority in it. 0 is IOPRIO_CLASS_NONE.
type IOPriority uint16

// ioClasses are the numbers of linux/ioprio.h.
var ioClasses = map[spec.IOClass]IOPriority{"": 0, spec.IOClassRT: 1, spec.IOClassBE: 2, spec.IOClassIdle: 3}

// ioClassShift is IOPRIO_CLASS_SHIFT.
const ioClassShift = 13

// newIOPriority is the priority that a manifest asks for. One that the node's keeper may not give is errors.ErrUnsupported.
func newIOPriority(said spec.IOPriority, node capability.Node) (IOPriority, error) {
	class, ok := ioClasses[said.Class]
	if err := said.Check(); err != nil || !ok || said.Priority < 0 || said.Priority > 7 {
		return 0, fmt.Errorf("cannot use ioPriority %+v: %w", said, errors.Join(err, fs.ErrInvalid))
	}
	if said.Class == spec.IOClassRT && node.Have&capability.Of(unix.CAP_SYS_ADMIN, unix.CAP_SYS_NICE) == 0 {
		return 0, fmt.Errorf("cannot set the io priority to RT: the node's keeper does not hold SYS_NICE: %w", errors.ErrUnsupported)
	}
	return class<<ioClassShift | IOPriority(said.Priority), nil
}

// setIOPriority resets, or sets what is said. Kernels without block devices have no such call.
func setIOPriority(p *process.Program, plan Plan) {
	const whoProcess = 1 // IOPRIO_WHO_PROCESS
	step, shown := "reset io priority", ""
	if plan.IOPriority != 0 {
		step, shown = "set io priority", fmt.Sprintf("%d of class %d", plan.IOPriority&7, plan.IOPriority>>ioClassShift)
	}
	op := p.Call(step, shown, unix.SYS_IOPRIO_SET, process.Int(whoProcess), process.Int(0), process.Int(int(plan.IOPriority)))
	if plan.IOPriority == 0 {
		op.Accept = process.Accept(unix.ENOSYS)
	}
}
