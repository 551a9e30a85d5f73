package criu

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// Error is a verb that criu could not carry out, for the reason that its log has.
type Error struct {
	// Verb is what was tried: dump, restore.
	Verb string
	// Lines are the errors of criu's log, oldest first and at most eight, without place and time.
	Lines []string
	// Cause is the reason in plain words, "" if it is none of the known ones; Help is what to do about it.
	Cause, Help string

	errno syscall.Errno // that criu gives; 0 if none
	is    error         // what errors.Is finds
}

// Error has the cause, the line that says so, and a hint.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Verb != "" {
		fmt.Fprintf(&b, "cannot %s: ", e.Verb)
	}
	switch line := e.line(); {
	case e.Cause != "" && line != "":
		fmt.Fprintf(&b, "%s (criu: %s)", e.Cause, line)
	case line != "":
		fmt.Fprintf(&b, "criu: %s", line)
	case e.errno != 0:
		fmt.Fprintf(&b, "criu: %v", e.errno)
	default:
		b.WriteString("criu does not say why")
	}
	if e.Help != "" {
		b.WriteString("\nhint: " + e.Help)
	}
	return b.String()
}

// Unwrap is errors.ErrUnsupported where this node cannot do what was asked for, fs.ErrInvalid where the image does not fit, or an errno.
func (e *Error) Unwrap() []error {
	var all []error
	if e.is != nil {
		all = append(all, e.is)
	}
	if e.errno != 0 {
		all = append(all, e.errno)
	}
	return all
}

// line is the one that matters: that of the known cause, else the first.
func (e *Error) line() string {
	if _, line := causeOf(e.Lines); line != "" {
		return line
	}
	if len(e.Lines) > 0 {
		return e.Lines[0]
	}
	return ""
}

// newError finds the cause in the errors of a log.
func newError(verb string, lines []string) *Error {
	e := &Error{Verb: verb, Lines: lines}
	if c, line := causeOf(lines); line != "" {
		e.Cause, e.Help, e.is = c.expand(c.words, line), c.expand(c.hint, line), c.is
	}
	return e
}

// explain makes the error of a reply without success. What the reply itself says is the log's first line, seldom the one that matters, and all there is when
// there is no log yet.
func explain(verb string, resp *rpc.CriuResp, lines []string) error {
	if text := strings.TrimSpace(resp.GetCrErrmsg()); len(lines) == 0 && text != "" {
		if lines = errorLines([]byte(text)); len(lines) == 0 && !harmless.MatchString(text) {
			lines = []string{strings.Map(printable, text[:min(len(text), maxLine)])}
		}
	}
	e := newError(verb, lines)
	if n := resp.GetCrErrno(); n > 0 && n < 4096 {
		e.errno = syscall.Errno(n)
	}
	return e
}
