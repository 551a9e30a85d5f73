package ocicmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// terminal connects a container's terminal with this process's standard input and output.
type terminal struct {
	master *os.File
	before *term.State // of ours, nil if it is none
	ended  atomic.Bool // the process has, though others may still hold the terminal
	copied chan struct{}
}

// Of what the terminal holds when its process has ended, this much is copied at most, and this long is waited for it: the kernel hands it on
// by and by, others may go on writing, and a terminal holds less than 16 KiB (pty_common_install of the kernel's pty.c, N_TTY_BUF_SIZE).
const (
	restSize = 64 << 10
	restWait = 200 * time.Millisecond
)

// newTerminal takes the master over.
func newTerminal(master *os.File) (*terminal, error) {
	master, err := interruptible(master)
	if err != nil {
		return nil, err
	}
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
	go t.copy(os.Stdout)
	return t, nil
}

// interruptible makes a file that knows deadlines of one that may not.
func interruptible(f *os.File) (*os.File, error) {
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	failed := conn.Control(func(old uintptr) {
		if fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3); err == nil {
			err = unix.SetNonblock(fd, true)
		}
	})
	if err := errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// copy copies the output until nobody has the other end any more, which is EIO, or until the rest that was there at the process's end.
func (t *terminal) copy(to io.Writer) {
	defer close(t.copied)
	text, size, wait := make([]byte, 32<<10), restSize, restWait
	for size > 0 && wait > 0 {
		begin, ended := time.Now(), t.ended.Load()
		if ended {
			_ = t.master.SetReadDeadline(begin.Add(wait))
		}
		n, err := t.master.Read(text)
		if ended {
			size -= n
			wait -= time.Since(begin)
		}
		if _, failed := to.Write(text[:n]); failed != nil || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// resize gives it the size of ours.
func (t *terminal) resize() {
	if t == nil {
		return
	}
	if columns, rows, err := term.GetSize(int(os.Stdin.Fd())); err == nil {
		_ = mount.Resize(t.master, spec.TerminalSize{Rows: uint16(rows), Columns: uint16(columns)})
	}
}

// close waits for the rest of the output and gives ours back.
func (t *terminal) close() {
	if t == nil {
		return
	}
	t.ended.Store(true)
	_ = t.master.SetReadDeadline(time.Now()) // wakes who reads
	<-t.copied
	if t.before != nil {
		_ = term.Restore(int(os.Stdin.Fd()), t.before)
	}
	_ = t.master.Close()
}
