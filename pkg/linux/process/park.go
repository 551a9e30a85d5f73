package process

// parks in place of a system call's number makes an op the park point.
const parks = 1<<32 - 1

// Park appends the park point.
func (p *Program) Park() { p.Call("park", "", parks) }

// parkPoint is the index of the op at which the program parks, or -1.
func (p *Program) parkPoint() int {
	for i := range p.Ops {
		if p.Ops[i].Nr == parks {
			return i
		}
	}
	return -1
}

// bare tells whether an op is nothing but its name and number.
func (op *Op) bare() bool {
	for i := range op.Args {
		if arg := &op.Args[i]; arg.Kind != ArgInt || arg.Int != 0 {
			return false
		}
	}
	return op.Out == 0 && op.Accept == Errnos{} && op.Skip == 0 && op.Else == 0
}
