package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// The files of a program with doors.
const (
	fileTold   = "told"   // the child writes a byte at each door
	fileGo     = "go"     // and reads one
	fileStart  = "start"  // the FIFO that lets it execute its command
	fileResult = "result" // the FIFO that gets the errnos
)

// doors are the places in a program where the child waits for this process. When this process dies meanwhile, the child ends as well.
type doors struct {
	told, open *os.File // ours: to read from, to write to
	theirs     map[string]*os.File
	waiting    []func(ctx context.Context) error // what is to be done at each
}

func newDoors() (d doors, err error) {
	d.theirs = map[string]*os.File{}
	if d.told, d.theirs[fileTold], err = pipe(0); err == nil {
		d.theirs[fileGo], d.open, err = pipe(1)
	}
	if err != nil {
		d.close()
		return doors{}, err
	}
	return d, nil
}

// pipe makes one of which only our end, 0 to read or 1 to write, is watched by the runtime's poller.
func pipe(ours int) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[ours], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}

// handOver closes the child's ends, once it has them.
func (d *doors) handOver() {
	for name, f := range d.theirs {
		_ = f.Close()
		delete(d.theirs, name)
	}
}

func (d *doors) close() {
	d.handOver()
	for _, f := range []*os.File{d.told, d.open} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// add adds a door to a program: what is to be done at it is done while the child waits.
func (d *doors) add(p *process.Program, step string, do func(ctx context.Context) error) {
	d.waiting = append(d.waiting, do)
	tell(p, step)
	step = "wait: " + step
	op := p.Call(step, "", unix.SYS_READ, p.File(fileGo), process.Data(make([]byte, 1)), process.Int(1))
	op.Out = p.Slot()
	// It reads nothing if this process has died. Of all calls that fail on a zero and do nothing on a one, this is the cheapest.
	p.Call(step, "", unix.SYS_MUNMAP, process.Int(0), process.In(op.Out))
}

// tell adds the op by which the child says how far it is.
func tell(p *process.Program, step string) {
	p.Call(step, "", unix.SYS_WRITE, p.File(fileTold), process.Str("."), process.Int(1))
}

// errEnded is a child that ended at no door.
var errEnded = errors.New("the container's first process has ended")

// attend goes from door to door.
func (d *doors) attend(ctx context.Context) error {
	for _, do := range d.waiting {
		if err := d.await(ctx); err != nil {
			return err
		}
		if err := do(ctx); err != nil {
			return err
		}
		if _, err := d.open.Write([]byte{0}); err != nil {
			return errEnded
		}
	}
	return nil
}

// await waits until the child says something; errEnded when it never will.
func (d *doors) await(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.told.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := d.told.Read(make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return errEnded
	}
	return err
}

// accompany attends to the child until it waits for its start, or executes its command.
func (m *making) accompany(ctx context.Context) error {
	err := m.doors.attend(ctx)
	if err == nil && m.lasting {
		err = m.doors.await(ctx)
	}
	if errors.Is(err, errEnded) {
		return m.failure(ctx)
	}
	return err
}

// failure is why the child has ended, or does now.
func (m *making) failure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := m.child.Wait(ctx); err != nil {
		return err
	}
	return fmt.Errorf("cannot start the container: %w", errEnded)
}
