package process

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// String lists the ops, one a line, much as strace shows system calls. $N is a slot, <name> a file.
func (p *Program) String() string { return p.format(nil) }

// format is String with the result of each op, unless there are none.
func (p *Program) format(results []int64) string {
	var b strings.Builder
	b.WriteString("clone3(" + cloneBits.text(p.Clone))
	if p.Cgroup != "" {
		b.WriteString(", cgroup <" + p.Cgroup + ">")
	}
	if p.PidNS != "" {
		b.WriteString(", pid namespace <" + p.PidNS + ">")
	}
	b.WriteString(")\n")
	for i := range p.Ops {
		b.WriteString(p.formatOp(&p.Ops[i]))
		if i < len(results) && !special(p.Ops[i].Nr) {
			b.WriteString(": " + formatResult(results[i]))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// special tells that an op is no system call.
func special(nr uint32) bool { return nr == parks || nr == reborn }

// formatResult is what the kernel said: nothing to an op that was skipped or not reached, and to the execve that succeeded, for it does not return.
func formatResult(result int64) string {
	switch {
	case result == notRun:
		return "not returned"
	case result < 0:
		return errnoName(unix.Errno(-result))
	}
	return strconv.FormatInt(result, 10)
}

func errnoName(e unix.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", int(e))
}

// formatOp is one op: mount proc: fsopen("proc", FSOPEN_CLOEXEC) = $3; skip 2 on ENOENT
func (p *Program) formatOp(op *Op) string {
	if op.Nr == parks {
		return "--- " + op.Step + ": from here on in memory of its own"
	}
	if op.Nr == reborn {
		return "--- " + op.Step + ": from here on a child in the pid namespace that was joined"
	}
	known, ok := calls[op.Nr]
	if !ok {
		known.name = fmt.Sprintf("syscall_%d", op.Nr)
	}
	args := make([]string, 0, len(op.Args))
	for n, arg := range op.Args {
		args = append(args, p.formatArg(arg, known.args[n]))
	}
	for len(args) > 0 && op.Args[len(args)-1].Kind == ArgInt && op.Args[len(args)-1].Int == 0 {
		args = args[:len(args)-1]
	}
	text := op.Step
	if op.Path != "" {
		text += " " + op.Path
	}
	text += ": " + known.name + "(" + strings.Join(args, ", ") + ")"
	if op.Out != 0 {
		text += fmt.Sprintf(" = $%d", op.Out)
	}
	if errnos := op.Accept.names(); len(errnos) > 0 {
		text += fmt.Sprintf("; skip %d on %s", op.Skip, strings.Join(errnos, "|"))
	}
	if op.Else > 0 {
		text += fmt.Sprintf("; skip %d on success", op.Else)
	}
	return text
}

func (s Errnos) names() (names []string) {
	if s == (Errnos{math.MaxUint64, math.MaxUint64}) {
		return []string{"any error"}
	}
	for e := range unix.Errno(128) {
		if s.Has(e) {
			names = append(names, errnoName(e))
		}
	}
	return names
}

func (p *Program) formatArg(arg Arg, w *words) string {
	switch {
	case arg.Kind == ArgSlot:
		return fmt.Sprintf("$%d", arg.Int)
	case arg.Kind == ArgFile && arg.Int < uint64(len(p.Files)):
		return "<" + p.Files[arg.Int] + ">"
	case arg.Kind == ArgData && w == variables:
		return fmt.Sprintf("{%d variables}", len(arg.memory().Refs))
	case arg.Kind == ArgData:
		m := arg.memory()
		return formatData(m.Data, m.Refs)
	case w != nil:
		return w.text(arg.Int)
	}
	return number10(arg.Int)
}

// formatData is a string in quotes, an array of strings in brackets, or the number of bytes.
func formatData(data []byte, refs []Ref) string {
	if len(data) == 0 {
		return "NULL"
	}
	if len(refs) > 0 || len(bytes.Trim(data, "\x00")) == 0 && len(data)%wordSize == 0 {
		return formatRefs(data, refs)
	}
	text := strings.TrimSuffix(string(data), "\x00")
	if utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl) {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("{%d bytes}", len(data))
}

func formatRefs(data []byte, refs []Ref) string {
	if len(data) != (len(refs)+1)*wordSize {
		return formatSlots(data, refs)
	}
	texts := make([]string, len(refs))
	for i, ref := range refs {
		if ref.Slot != 0 || ref.To != 0 {
			return formatSlots(data, refs)
		}
		texts[i] = formatData(ref.Data, nil)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// formatSlots is the number of bytes and the slots they take in.
func formatSlots(data []byte, refs []Ref) string {
	text := fmt.Sprintf("{%d bytes", len(data))
	for _, ref := range refs {
		if ref.Slot != 0 {
			text += fmt.Sprintf(", $%d at %d", ref.Slot, ref.At)
		}
	}
	return text + "}"
}
