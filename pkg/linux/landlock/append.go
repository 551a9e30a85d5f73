package landlock

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// ruleNetPort is LANDLOCK_RULE_NET_PORT of linux/landlock.h.
const ruleNetPort = 2

// Append adds the ops that make the rules, when the root is the container's, where paths are looked up, and returns what adds those that
// put the child under them: after its last open, with CAP_SYS_ADMIN in its user namespace or no_new_privs. The kernel takes a
// path's descriptor inside a structure, which a program cannot fill, so each goes by way of scratch: the number of a
// descriptor that nothing needs any more.
func Append(p *process.Program, r Rules, scratch int) (apply func()) {
	if r.Empty() {
		return func() {}
	}
	const step = "make Landlock rules"
	attr := r.attr()
	set := p.CallFD(step, "", unix.SYS_LANDLOCK_CREATE_RULESET, process.Data(attr), process.Int(len(attr)), process.Int(0))
	for _, path := range r.Paths {
		allowPath(p, set, path, scratch)
	}
	for _, port := range r.Ports {
		// struct landlock_net_port_attr: u64 allowed_access, port
		b := binary.NativeEndian.AppendUint64(nil, port.Rights)
		b = binary.NativeEndian.AppendUint64(b, uint64(port.Port))
		p.Call("allow by Landlock", fmt.Sprint("port ", port.Port), unix.SYS_LANDLOCK_ADD_RULE, set, process.Int(ruleNetPort), process.Data(b), process.Int(0))
	}
	return func() {
		p.Call("apply Landlock rules", "", unix.SYS_LANDLOCK_RESTRICT_SELF, set, process.Int(0))
	}
}

// attr is struct landlock_ruleset_attr, only as long as needed: older kernels refuse the rest.
func (r Rules) attr() []byte {
	b := binary.NativeEndian.AppendUint64(nil, r.Files)
	if r.Net|r.Scope != 0 {
		b = binary.NativeEndian.AppendUint64(b, r.Net)
	}
	if r.Scope != 0 {
		b = binary.NativeEndian.AppendUint64(b, r.Scope)
	}
	return b
}

// allowPath adds a rule of a path. Of a file that is no directory the kernel takes no rights that only directories have (EINVAL).
func allowPath(p *process.Program, set process.Arg, path Path, scratch int) {
	const step = "allow by Landlock"
	fd := p.Openat2FD(step, path.Path, process.Int(unix.AT_FDCWD), path.Path, unix.O_PATH, unix.RESOLVE_NO_MAGICLINKS) // opens no device and waits for no FIFO
	p.Call(step, path.Path, unix.SYS_DUP3, fd, process.Int(scratch), process.Int(unix.O_CLOEXEC)).
		Accept = process.Accept(unix.EINVAL) // it has the number already
	add := func(rights uint64) *process.Op {
		// struct landlock_path_beneath_attr, packed: u64 allowed_access, s32 parent_fd
		b := binary.NativeEndian.AppendUint64(nil, rights)
		b = binary.NativeEndian.AppendUint32(b, uint32(scratch))
		return p.Call(step, path.Path, unix.SYS_LANDLOCK_ADD_RULE, set, process.Int(unix.LANDLOCK_RULE_PATH_BENEATH), process.Data(b), process.Int(0))
	}
	op := add(path.Rights)
	if rest := path.Rights & ofFile; rest != path.Rights && rest != 0 {
		op.Accept, op.Else = process.Accept(unix.EINVAL), 1
		add(rest)
	}
}
