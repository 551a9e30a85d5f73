package process

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Openat2 appends openat2(2) of a path below dir: struct open_how is u64 flags, mode and resolve. What it opens closes on exec.
func (p *Program) Openat2(step, shown string, dir Arg, path string, flags, resolve uint64) *Op {
	how := make([]byte, unix.SizeofOpenHow)
	binary.NativeEndian.PutUint64(how, flags|unix.O_CLOEXEC)
	binary.NativeEndian.PutUint64(how[16:], resolve)
	return p.Call(step, shown, unix.SYS_OPENAT2, dir, Str(path), Data(how), Int(len(how)))
}

// Openat2FD is Openat2 for a descriptor that later ops use; it returns its argument.
func (p *Program) Openat2FD(step, shown string, dir Arg, path string, flags, resolve uint64) Arg {
	s := p.Slot()
	p.Openat2(step, shown, dir, path, flags, resolve).Out = s
	return In(s)
}

// Prctl appends prctl(2). The arguments that are not named are 0, as the newer options demand.
func (p *Program) Prctl(step, path string, option int, args ...uint64) *Op {
	all := [5]Arg{Int(option)}
	for i, n := range args {
		all[i+1] = Int(n)
	}
	return p.Call(step, path, unix.SYS_PRCTL, all[:]...)
}
