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

// namespaces are the clone flags a program may ask for. A time namespace needs a child with
// memory of its own, a user namespace somebody who writes its maps meanwhile.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

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
	}
	size := 0
	for i := range p.Ops {
		if err := p.checkOp(i, &size); err != nil {
			return fmt.Errorf("bad program: op %d (%s): %w", i, p.Ops[i].Step, err)
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
	switch {
	case arg.Kind > ArgSlot:
		return fmt.Errorf("kind %d is unknown", arg.Kind)
	case arg.Kind == ArgFile && arg.Int >= uint64(len(p.Files)):
		return fmt.Errorf("file %d of %d", arg.Int, len(p.Files))
	case arg.Kind == ArgSlot && (arg.Int == 0 || arg.Int > uint64(p.Slots)):
		return fmt.Errorf("slot %d of %d", arg.Int, p.Slots)
	case arg.Kind != ArgData && (len(arg.Data) > 0 || len(arg.Refs) > 0):
		return fmt.Errorf("kind %d has no data", arg.Kind)
	}
	*size += len(arg.Data)
	for _, ref := range arg.Refs {
		if ref.At < 0 || ref.At > len(arg.Data)-wordSize {
			return fmt.Errorf("reference at %d of %d bytes", ref.At, len(arg.Data))
		}
		*size += refSize + len(ref.Data)
	}
	return nil
}
