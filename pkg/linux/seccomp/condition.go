package seccomp

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// maxConditions keeps the code of a rule within reach of a short jump: a condition has at most six instructions.
const maxConditions = 32

func (c Condition) check() error {
	switch {
	case c.Arg < 0 || c.Arg > 5 || c.Op > Greater:
		return fmt.Errorf("no condition can be %+v: %w", c, fs.ErrInvalid)
	case c.Op == Equal && c.Value&^c.Mask != 0:
		return fmt.Errorf("condition %+v can never hold: %w", c, fs.ErrInvalid)
	case c.Op != Equal && c.Mask != 0:
		return fmt.Errorf("condition %+v has a mask, which only Equal heeds: %w", c, fs.ErrInvalid)
	}
	return nil
}

// empty tells a condition that always holds, for it compares no bit.
func (c Condition) empty(narrow bool) bool {
	return c.Op == Equal && (c.Mask == 0 || narrow && uint32(c.Mask) == 0)
}

// code goes on behind its last instruction if the condition holds, else behind the rest instructions after that.
func (c Condition) code(narrow bool, rest int) Filter {
	low := c.half(0, rest)
	if narrow {
		return low
	}
	const pass, fail = -1, -2
	high, value := c.load(1), uint32(c.Value>>32)
	// Where the upper half decides, and what the lower half then is not asked.
	at := func(target int) uint8 {
		switch target {
		case pass:
			return uint8(len(low))
		case fail:
			return uint8(len(low) + rest)
		}
		return 0
	}
	switch c.Op {
	case Equal:
		return append(c.half(1, len(low)+rest), low...)
	case NotEqual:
		return append(Filter{high, {Code: equal, K: value, Jf: at(pass)}}, low...)
	case Greater, GreaterOrEqual:
		return append(Filter{high, {Code: above, K: value, Jt: 1 + at(pass)}, {Code: equal, K: value, Jf: at(fail)}}, low...)
	default:
		return append(Filter{high, {Code: above, K: value, Jt: 1 + at(fail)}, {Code: equal, K: value, Jf: at(pass)}}, low...)
	}
}

// half compares one half of the argument, as if it were all.
func (c Condition) half(n, rest int) Filter {
	mask, value, fail := uint32(c.Mask>>(32*n)), uint32(c.Value>>(32*n)), uint8(rest)
	test := unix.SockFilter{K: value}
	switch c.Op {
	case Equal:
		if mask == 0 {
			return nil
		}
		test.Code, test.Jf = equal, fail
		if mask != ^uint32(0) {
			return Filter{c.load(n), {Code: and, K: mask}, test}
		}
	case NotEqual:
		test.Code, test.Jt = equal, fail
	case Greater:
		test.Code, test.Jf = above, fail
	case GreaterOrEqual:
		test.Code, test.Jf = atLeast, fail
	case Less:
		test.Code, test.Jt = atLeast, fail
	case LessOrEqual:
		test.Code, test.Jt = above, fail
	}
	return Filter{c.load(n), test}
}

// load loads a half of the argument. All machines here are little-endian: the low half is first.
func (c Condition) load(half int) unix.SockFilter {
	return unix.SockFilter{Code: load, K: uint32(offsetArgs + 8*c.Arg + 4*half)}
}

// code returns the rule's verdict if its conditions hold, else goes on behind its last instruction.
func (r Rule) code(narrow bool) Filter {
	code := Filter{{Code: ret, K: uint32(r.Then)}}
	for i := len(r.If) - 1; i >= 0; i-- {
		code = append(r.If[i].code(narrow, len(code)), code...)
	}
	return code
}

// always tells whether the rule has no condition that could fail.
func (r Rule) always(narrow bool) bool {
	for _, c := range r.If {
		if !c.empty(narrow) {
			return false
		}
	}
	return true
}
