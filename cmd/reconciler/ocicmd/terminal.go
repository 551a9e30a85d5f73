package ocicmd

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// terminal connects a container's terminal with this process's standard input and output.
type terminal struct {
	master *os.File
	before *term.State // of ours, nil if it is none
	copied chan struct{}
}

func newTerminal(master *os.File) (*terminal, error) {
	t := &terminal{master: master, copied: make(chan struct{})}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		before, err := term.MakeRaw(fd)
		if err != nil {
			return nil, err
		}
		t.before = before
	}
	t.resize()
	go func() { _, _ = io.Copy(master, os.Stdin) }() // ends with this process: a read from a terminal cannot be called back
	go func() {
		defer close(t.copied)
		_, _ = io.Copy(os.Stdout, master) // EIO when nobody has the other end any more
	}()
	return t, nil
}

// resize gives it the size of ours.
func (t *terminal) resize() {
	if t == nil {
		return
	}
	if columns, rows, err := term.GetSize(int(os.Stdin.Fd())); err == nil {
		_ = oci.Resize(t.master, spec.TerminalSize{Rows: uint16(rows), Columns: uint16(columns)})
	}
}

// close waits for the rest of the output and gives ours back.
func (t *terminal) close() {
	if t == nil {
		return
	}
	<-t.copied
	if t.before != nil {
		_ = term.Restore(int(os.Stdin.Fd()), t.before)
	}
	_ = t.master.Close()
}
