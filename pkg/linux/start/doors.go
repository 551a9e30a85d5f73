package start

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// The files of a program with doors.
const (
	fileTold = "told" // the child writes a number at each door
	fileGo   = "go"   // and reads a byte
)

// Doors are the places in a program where the child waits for this process; it parks before the first. When this process dies meanwhile,
// the child ends as well.
type Doors struct {
	told, open *os.File // ours: to read from, to write to
	theirs     map[string]*os.File
	waiting    []func(ctx context.Context, number int) error // what is to be done at each
}

// NewDoors makes doors, to be closed.
func NewDoors() (d *Doors, err error) {
	d = &Doors{theirs: map[string]*os.File{}}
	if d.told, d.theirs[fileTold], err = process.Pipe(0); err == nil {
		d.theirs[fileGo], d.open, err = process.Pipe(1)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Files are those that the program names.
func (d *Doors) Files() map[string]*os.File { return d.theirs }

// HandOver closes the child's ends, once it has them.
func (d *Doors) HandOver() {
	for name, f := range d.theirs {
		_ = f.Close()
		delete(d.theirs, name)
	}
}

// Shut has the child fail at the door where it waits, or the next one.
func (d *Doors) Shut() { _ = d.open.Close() }

// Close closes all files; those of nil are none.
func (d *Doors) Close() {
	if d == nil {
		return
	}
	d.HandOver()
	for _, f := range []*os.File{d.told, d.open} {
		if f != nil {
			_ = f.Close() // or it was shut
		}
	}
}

// numberSize is that of the number which a child tells.
const numberSize = 4

// Add adds a door to a program: what is to be done at it is done while the child waits. It gets the number in the slots, if there is one.
func (d *Doors) Add(p *process.Program, step string, do func(ctx context.Context, number int) error, slots ...process.Slot) {
	d.waiting = append(d.waiting, do)
	d.Tell(p, step, slots...)
	step = "wait: " + step
	op := p.Call(step, "", unix.SYS_READ, p.File(fileGo), process.Data(make([]byte, 1)), process.Int(1))
	op.Out = p.Slot()
	// It reads nothing if this process has died. Of all calls that fail on a zero and do nothing on a one, this is the cheapest.
	p.Call(step, "", unix.SYS_MUNMAP, process.Int(0), process.In(op.Out))
}

// Tell adds the op by which the child says how far it is.
func (d *Doors) Tell(p *process.Program, step string, slots ...process.Slot) {
	var refs []process.Ref
	for _, slot := range slots {
		refs = append(refs, process.Ref{Slot: slot})
	}
	p.Call(step, "", unix.SYS_WRITE, p.File(fileTold), process.Data(make([]byte, numberSize), refs...), process.Int(numberSize))
}

// ErrEnded is a child that ended at no door.
var ErrEnded = errors.New("the container's first process has ended")

// Attend goes from door to door, to the last.
func (d *Doors) Attend(ctx context.Context) error {
	for _, do := range d.waiting {
		number, err := d.Await(ctx)
		if err != nil {
			return err
		}
		if err := do(ctx, number); err != nil {
			return err
		}
		if _, err := d.open.Write([]byte{0}); err != nil {
			return ErrEnded
		}
	}
	return nil
}

// Await waits until the child tells a number; ErrEnded when it never will.
func (d *Doors) Await(ctx context.Context) (int, error) {
	stop := context.AfterFunc(ctx, func() { _ = d.told.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	text := make([]byte, numberSize)
	_, err := io.ReadFull(d.told, text)
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, ErrEnded
	}
	return int(int32(binary.NativeEndian.Uint32(text))), err
}
