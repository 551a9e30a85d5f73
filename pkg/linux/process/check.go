package process

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// The largest program; far above what a start needs.
const (
	MaxOps   = 1 << 14
	MaxFiles = 1 << 10
	MaxSlots = 1 << 14
	MaxSize  = 8 << 20 // bytes of data, and of the wire form
)

// refSize is what a reference counts towards MaxSize besides its data, which bounds their number.
const refSize = 64

// namespaces are the clone flags a program may ask for. A user namespace needs somebody who writes its maps meanwhile:
// see RunWith. A time namespace is entered by execve(2), from Linux 6.2 on; until then its offsets can be written.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUSER | unix.CLONE_NEWTIME

// Check tells what is wrong with the form of a program: a jump or a reference out of bounds, an unknown kind
// of argument, too large. Start and UnmarshalBinary make it; a program that passes it ends after at most len(Ops) calls.
func (p *Program) Check() error {
	switch {
	case len(p.Ops) == 0 || len(p.Ops) > MaxOps:
		return fmt.Errorf("bad program: %d ops, must be 1 to %d", len(p.Ops), MaxOps)
	case p.Slots < 0 || p.Slots > MaxSlots:
		return fmt.Errorf("bad program: %d slots, must be 0 to %d", p.Slots, MaxSlots)
	case len(p.Files) > MaxFiles:
		return fmt.Errorf("bad program: %d files, must be at most %d", len(p.Files), MaxFiles)
	case p.Clone&^namespaces != 0:
		return fmt.Errorf("bad program: clone flags %#x are not among %#x", p.Clone, uint64(namespaces))
	case p.Cgroup != "" && !slices.Contains(p.Files, p.Cgroup):
		return fmt.Errorf("bad program: cgroup %q is not among the files %q", p.Cgroup, p.Files)
	case p.PidNS != "" && !slices.Contains(p.Files, p.PidNS):
		return fmt.Errorf("bad program: pid namespace %q is not among the files %q", p.PidNS, p.Files)
	case p.PidNS != "" && p.Clone&unix.CLONE_NEWPID != 0:
		return fmt.Errorf("bad program: it starts both in pid namespace %q and in a new one", p.PidNS)
	}
	size := 0
	for i := range p.Ops {
		if err := p.checkOp(i, &size); err != nil {
			return fmt.Errorf("bad program: op %d (%s): %w", i, p.Ops[i].Step, err)
		}
	}
	if err := p.checkPark(); err != nil {
		return err
	}
	return p.checkReborn()
}

// checkPark: there is one park point at most, with something after it, and no way around it.
func (p *Program) checkPark() error {
	return p.checkPoint(parks, "parks a second time", "skips the park point", "a park point")
}

// checkPoint checks the form of a point that a program has once at most. The words are for errors.
func (p *Program) checkPoint(nr uint32, again, skips, name string) error {
	at := p.point(nr)
	for i := range p.Ops {
		op := &p.Ops[i]
		switch {
		case at < 0:
			return nil
		case i > at && op.Nr == nr:
			return fmt.Errorf("bad program: op %d (%s): %s", i, op.Step, again)
		case i < at && i+1+max(op.Skip, op.Else) > at:
			return fmt.Errorf("bad program: op %d (%s): %s", i, op.Step, skips)
		case i == at && (i == len(p.Ops)-1 || !op.bare()):
			return fmt.Errorf("bad program: op %d (%s): %s has neither arguments nor result, and is not the end", i, op.Step, name)
		}
	}
	return nil
}

func (p *Program) checkOp(i int, size *int) error {
	op := &p.Ops[i]
	left := len(p.Ops) - i - 1
	switch {
	case op.Out < 0 || int(op.Out) > p.Slots:
		return fmt.Errorf("result to slot %d of %d", op.Out, p.Slots)
	case op.Skip < 0 || op.Skip > left || op.Else < 0 || op.Else > left:
		return fmt.Errorf("skips %d after an error and %d after success, with %d ops left", op.Skip, op.Else, left)
	}
	for n := range op.Args {
		if err := p.checkArg(&op.Args[n], size); err != nil {
			return fmt.Errorf("argument %d: %w", n, err)
		}
	}
	if *size > MaxSize {
		return fmt.Errorf("more than %d bytes of data so far", MaxSize)
	}
	return nil
}

func (p *Program) checkArg(arg *Arg, size *int) error {
	m := arg.memory()
	switch {
	case arg.Kind > ArgSlot:
		return fmt.Errorf("kind %d is unknown", arg.Kind)
	case arg.Kind == ArgFile && arg.Int >= uint64(len(p.Files)):
		return fmt.Errorf("file %d of %d", arg.Int, len(p.Files))
	case arg.Kind == ArgSlot && (arg.Int == 0 || arg.Int > uint64(p.Slots)):
		return fmt.Errorf("slot %d of %d", arg.Int, p.Slots)
	case arg.Kind != ArgData && (len(m.Data) > 0 || len(m.Refs) > 0):
		return fmt.Errorf("kind %d has no data", arg.Kind)
	}
	*size += len(m.Data)
	for i := range m.Refs {
		if err := p.checkRef(&m.Refs[i], len(m.Data)); err != nil {
			return err
		}
		*size += refSize + len(m.Refs[i].Data)
	}
	return nil
}

func (p *Program) checkRef(ref *Ref, size int) error {
	switch {
	case ref.At < 0 || ref.At > size-ref.size():
		return fmt.Errorf("reference at %d of %d bytes", ref.At, size)
	case ref.Slot < 0 || int(ref.Slot) > p.Slots:
		return fmt.Errorf("reference to slot %d of %d", ref.Slot, p.Slots)
	case ref.To < 0 || ref.To > size:
		return fmt.Errorf("reference to byte %d of %d", ref.To, size)
	case ref.Slot != 0 && (ref.To != 0 || len(ref.Data) > 0), ref.To != 0 && len(ref.Data) > 0:
		return fmt.Errorf("reference to more than one of slot %d, byte %d and %d bytes", ref.Slot, ref.To, len(ref.Data))
	}
	return nil
}
