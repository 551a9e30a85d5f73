package process

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Shed closes everything in front of op at but the descriptors below first and those that the ops from there on use. These are moved to numbers from
// first on, by way of copies that are made in front of op early, where the limit of descriptors need not be the container's yet. No op may jump
// into or over either place.
//
// It is for a program that lets others in before it is at its end: whoever may look into it, finds what it has open.
func (p *Program) Shed(early, at, first int) {
	needed := p.descriptorsOf(at)
	var copies, late, moves []Op
	for i, old := range needed {
		copied, moved := p.Slot(), p.Slot()
		op := Op{Step: "keep descriptor", Nr: unix.SYS_FCNTL, Args: [6]Arg{old, Int(unix.F_DUPFD_CLOEXEC), Int(first + len(needed))}, Out: copied}
		if old.Kind == ArgSlot && slices.ContainsFunc(p.Ops[early:at], func(op Op) bool { return op.Out == Slot(old.Int) }) {
			late = append(late, op)
		} else {
			copies = append(copies, op)
		}
		moves = append(moves, Op{Step: "keep descriptor", Nr: unix.SYS_DUP3, Args: [6]Arg{In(copied), Int(first + i), Int(unix.O_CLOEXEC)}, Out: moved})
		for n := range p.Ops[at:] {
			p.Ops[at+n].replace(old, moved)
		}
	}
	moves = append(moves, Op{Step: "close descriptors", Nr: unix.SYS_CLOSE_RANGE, Args: [6]Arg{Int(first + len(needed)), Int(^uint32(0)), Int(0)}})
	p.Ops = slices.Insert(p.Ops, at, append(late, moves...)...)
	p.Ops = slices.Insert(p.Ops, early, copies...)
}

// replace makes an op use a slot in the place of a file or another slot.
func (op *Op) replace(old Arg, by Slot) {
	for i := range op.Args {
		arg := &op.Args[i]
		if arg.Kind == old.Kind && arg.Int == old.Int {
			*arg = In(by)
		}
		for n := range arg.memory().Refs {
			if ref := &arg.Memory.Refs[n]; old.Kind == ArgSlot && ref.Slot == Slot(old.Int) {
				ref.Slot = by
			}
		}
	}
}

// descriptorsOf are the descriptors that the ops from one on use: files, and slots that are filled before it.
func (p *Program) descriptorsOf(at int) (all []Arg) {
	slots, files := map[Slot]bool{}, make([]bool, len(p.Files))
	for _, op := range p.Ops[:at] {
		if op.Out != 0 && makesDescriptor[op.Nr] {
			slots[op.Out] = true
		}
	}
	use := func(s Slot) {
		if slots[s] {
			slots[s] = false
			all = append(all, In(s))
		}
	}
	for i := range p.Ops[at:] {
		for _, arg := range p.Ops[at+i].Args {
			switch {
			case arg.Kind == ArgSlot:
				use(Slot(arg.Int))
			case arg.Kind == ArgFile && !files[arg.Int]:
				files[arg.Int] = true
				all = append(all, arg)
			}
			for _, ref := range arg.memory().Refs {
				use(ref.Slot)
			}
		}
	}
	return all
}
