package keeper_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// ear is one who is attached, with this side of the pipes.
type ear struct {
	*keeper.Attached
	out   [2]*os.File
	heard [2]bytes.Buffer
	done  chan struct{}
}

// attach attaches somebody who does not read yet.
func (n *node) attach(r keeper.StartRequest) *ear {
	n.t.Helper()
	e := &ear{done: make(chan struct{}, 2)}
	var theirs [2]*os.File
	for i := range theirs {
		var err error
		if e.out[i], theirs[i], err = process.Pipe(0); err != nil {
			n.t.Fatal(err)
		}
		defer theirs[i].Close()
		n.t.Cleanup(func() { e.out[i].Close() })
	}
	var err error
	if e.Attached, err = n.client.Attach(n.t.Context(), r.Key, theirs[0], theirs[1]); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { e.Close() })
	return e
}

// listen reads both streams to their ends, with a pause after each piece.
func (e *ear) listen(pause time.Duration) {
	for i := range e.out {
		go func() {
			defer func() { e.done <- struct{}{} }()
			buf := make([]byte, 16<<10)
			for {
				got, err := e.out[i].Read(buf)
				e.heard[i].Write(buf[:got])
				if err != nil {
					return
				}
				time.Sleep(pause)
			}
		}()
	}
}

// all waits for the ends of both streams and tells what came.
func (e *ear) all() (heard [2][]byte) {
	for range e.out {
		<-e.done
	}
	return [2][]byte{e.heard[0].Bytes(), e.heard[1].Bytes()}
}

// logged is what the log has of a run.
func (n *node) logged(r keeper.StartRequest, s keeper.Started) (said [2][]byte) {
	n.t.Helper()
	var out, err bytes.Buffer
	ended := make(chan struct{})
	close(ended)
	run := log.Run{Instance: r.Instance, Start: uint32(s.Starts)}
	if err := log.Copy(context.Background(), filepath.Join(n.run, "log", r.Name), run, ended, &out, &err); err != nil {
		n.t.Fatal(err)
	}
	return [2][]byte{out.Bytes(), err.Bytes()}
}

// onTerminal gives a request a terminal for its output.
func (n *node) onTerminal(r *keeper.StartRequest) {
	n.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { master.Close() })
	conn, err := master.SyscallConn()
	if err != nil {
		n.t.Fatal(err)
	}
	var slave int
	failed := conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			var r uintptr
			var errno unix.Errno
			r, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
			if slave = int(r); errno != 0 {
				err = errno
			}
		}
	})
	if failed != nil || err != nil {
		n.t.Fatal(failed, err)
	}
	tty := os.NewFile(uintptr(slave), "tty")
	n.t.Cleanup(func() { tty.Close() })
	r.Files[keeper.FileConsole], r.Files["tty"] = master, tty
	last := len(r.Program.Ops) - 1
	execute := r.Program.Ops[last]
	r.Program.Ops = r.Program.Ops[:last]
	for fd := 1; fd <= 2; fd++ {
		r.Program.Call("connect", "tty", unix.SYS_DUP3, r.Program.File("tty"), process.Int(fd), process.Int(0))
	}
	r.Program.Ops = append(r.Program.Ops, execute)
}

// Of three who are attached one does not read, one is slow, and one is quick: the last two get every byte once, the first a beginning, and the
// log has it all.
func TestAttachedDiffer(t *testing.T) {
	n := newNode(t)
	for name, tty := range map[string]bool{"pipes": false, "terminal": true} {
		door := filepath.Join(n.run, "door-"+name)
		filling := bytes.Repeat([]byte("x"), 90)
		r := n.request(name, 1, fmt.Sprintf(
			`while [ ! -e %s ]; do sleep 0.01; done; i=0; while [ $i -lt 3000 ]; do echo "$i %s"; echo "$i error %[2]s" >&2; i=$((i+1)); done`, door, filling))
		if tty {
			n.onTerminal(&r)
		}
		s, err := n.client.Start(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		idle, slow, quick := n.attach(r), n.attach(r), n.attach(r)
		slow.listen(5 * time.Millisecond)
		quick.listen(0)
		if err := os.WriteFile(door, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n.exit(r, s)
		said := n.logged(r, s)
		if lines := bytes.Count(said[0], []byte("\n")) + bytes.Count(said[1], []byte("\n")); lines != 6000 {
			t.Errorf("%s: the log has %d lines", name, lines)
		}
		idle.listen(0)
		for who, e := range map[string]*ear{"slow": slow, "quick": quick} {
			for i, heard := range e.all() {
				if !bytes.Equal(heard, said[i]) {
					t.Errorf("%s: the %s one heard %d bytes of stream %d, of which the log has %d", name, who, len(heard), i, len(said[i]))
				}
			}
		}
		for i, heard := range idle.all() {
			if !bytes.HasPrefix(said[i], heard) {
				t.Errorf("%s: the idle one heard %d bytes of stream %d that are no beginning", name, len(heard), i)
			}
		}
	}
}
