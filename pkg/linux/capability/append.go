package capability

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Before adds the ops that must run while the child is still root with all its capabilities, before its user changes:
// no securebits of the parent, no ambient capabilities, the bounding set cut down to s (last is the number of the
// kernel's last capability, so that those without a name here go too), and what makes permitted capabilities survive the change of user.
func Before(p *process.Program, s Sets, last int) {
	p.Prctl("reset securebits", "", unix.PR_SET_SECUREBITS, 0)
	p.Prctl("clear ambient capabilities", "", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	for n := range last + 1 {
		if !s.Bounding.Has(n) {
			p.Prctl("drop capability", name(n), unix.PR_CAPBSET_DROP, uint64(n))
		}
	}
	if s.Permitted != 0 {
		p.Prctl("keep capabilities", "", unix.PR_SET_KEEPCAPS, 1)
	}
}

// After adds the ops that run when the user has changed: the child holds s from here on.
func After(p *process.Program, s Sets) {
	Reduce(p, s)
	for n := range 64 {
		if s.Ambient.Has(n) {
			p.Prctl("raise ambient capability", name(n), unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(n))
		}
	}
}

// Reduce adds the op that leaves a child that has had After with less. Its ambient capabilities stay, as far as s has them.
func Reduce(p *process.Program, s Sets) {
	// struct __user_cap_header_struct: u32 version, s32 pid (0 is the caller), see capset(2).
	header := binary.NativeEndian.AppendUint32(nil, unix.LINUX_CAPABILITY_VERSION_3)
	header = binary.NativeEndian.AppendUint32(header, 0)
	p.Call("set capabilities", s.Permitted.String(), unix.SYS_CAPSET, process.Data(header), process.Data(s.data()))
}

// data is struct __user_cap_data_struct[2]: u32 effective, permitted, inheritable; first the low words, then the high ones.
func (s Sets) data() (b []byte) {
	for shift := 0; shift < 64; shift += 32 {
		for _, set := range []Set{s.Effective, s.Permitted, s.Inheritable} {
			b = binary.NativeEndian.AppendUint32(b, uint32(set>>shift))
		}
	}
	return b
}
