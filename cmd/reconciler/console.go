package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// console is this process's own terminal: keys come from it, or only its size.
type console struct {
	file   *os.File
	cooked *term.State // what it was before raw, nil as long as it is that
}

// consoleOf finds the terminal of a verb: that of the input when input is wanted, else that of the output.
func (a *app) consoleOf(input bool) (*console, bool) {
	var end any = a.out.Writer
	if input {
		end = a.in
	}
	f, ok := end.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, false
	}
	return &console{file: f}, true
}

// size is how large it is now, zero when it does not say.
func (c *console) size() spec.TerminalSize {
	columns, rows, err := term.GetSize(int(c.file.Fd()))
	if err != nil {
		return spec.TerminalSize{}
	}
	return spec.TerminalSize{Rows: uint16(rows), Columns: uint16(columns)}
}

// raw passes every key on as it is, Ctrl-C too. It may be repeated: who was stopped may find the terminal changed.
func (c *console) raw() error {
	before, err := term.MakeRaw(int(c.file.Fd()))
	if err != nil {
		return fmt.Errorf("cannot take over the terminal: %w", err)
	}
	if c.cooked == nil {
		c.cooked = before
	}
	return nil
}

// restore gives the terminal back as it was. It may be repeated, and there may be no terminal.
func (c *console) restore() {
	if c != nil && c.cooked != nil {
		_ = term.Restore(int(c.file.Fd()), c.cooked)
	}
}

// guard restores the terminal before a panic in a goroutine ends everything; nobody else could.
func (c *console) guard() {
	if p := recover(); p != nil {
		c.restore()
		panic(p)
	}
}

var errNoTerminal = withHint(errors.New("there is no terminal for -t"),
	"leave -t out; -i alone passes the input on, and works with pipes and files")
