package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Append adds the op that puts the filter in force, for the child and all its descendants; nil adds none. It needs
// no_new_privs or CAP_SYS_ADMIN, and every later op is judged by the filter: execve has to be allowed.
//
// SPEC_ALLOW keeps the filter from slowing the process down by a mitigation of speculative store bypass, which kernels
// before 5.16 tie to seccomp; the process may still ask for it by prctl(2).
func Append(p *process.Program, f Filter) {
	if f == nil {
		return
	}
	var code []byte
	for _, in := range f {
		code = binary.NativeEndian.AppendUint16(code, in.Code)
		code = append(code, in.Jt, in.Jf)
		code = binary.NativeEndian.AppendUint32(code, in.K)
	}
	// struct sock_fprog: u16 len, six bytes of padding, the address of the code.
	prog := binary.NativeEndian.AppendUint16(nil, uint16(len(f)))
	prog = append(prog, make([]byte, 14)...)
	p.Call("set seccomp filter", fmt.Sprintf("%d instructions", len(f)), unix.SYS_SECCOMP,
		process.Int(unix.SECCOMP_SET_MODE_FILTER), process.Int(unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW),
		process.Data(prog, process.Ref{At: 8, Data: code}))
}
