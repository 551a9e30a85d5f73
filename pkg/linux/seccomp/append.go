package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Append adds the op that puts a plan in force, for the child and all its descendants; one without a filter adds none. It
// needs no_new_privs or CAP_SYS_ADMIN, and every later op is judged by the filter: execve has to be allowed, or somebody
// has to answer for it.
//
// The slot gets the listener's descriptor when the plan notifies, else it is 0. It is closed by execve: before, another
// process takes it (pidfd_getfd) and sends it to the one who decides, see SendListener.
func Append(p *process.Program, plan Plan) (listener process.Slot) {
	if plan.Filter == nil {
		return 0
	}
	var code []byte
	for _, in := range plan.Filter {
		code = binary.NativeEndian.AppendUint16(code, in.Code)
		code = append(code, in.Jt, in.Jf)
		code = binary.NativeEndian.AppendUint32(code, in.K)
	}
	// struct sock_fprog: u16 len, six bytes of padding, the address of the code.
	prog := binary.NativeEndian.AppendUint16(nil, uint16(len(plan.Filter)))
	prog = append(prog, make([]byte, 14)...)
	op := p.Call("set seccomp filter", fmt.Sprintf("%d instructions", len(plan.Filter)), unix.SYS_SECCOMP,
		process.Int(unix.SECCOMP_SET_MODE_FILTER), process.Int(plan.Flags), process.Data(prog, process.Ref{At: 8, Data: code}))
	if plan.Notifies() {
		listener = p.Slot()
		op.Out = listener
	}
	return listener
}
