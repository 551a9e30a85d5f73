package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process/parker"
)

// Parked is a child between the park point of its program and the execution of its command.
type Parked struct {
	Process // the caller's to reap and close, unless Wait has told of a failure; after a rebirth Wait makes it another one, see Reborn

	watch *os.File // a pipe that closes as the child executes or ends, or earlier if it closes all its descriptors
	image *image

	program *Program // as it was given

	mu       sync.Mutex
	assembly *assembly // sees a copy of the image, made when it was last read
	settled  bool
	err      error // why no command was executed, once settled
}

// StartParked runs a program up to its park point and returns once its child is past that, or with an error as Start's. The
// rest goes on by itself, without a timeout; Wait tells what becomes of it. What it waits for is the program's business: a
// read from a pipe that the caller writes to, a FIFO that somebody is to open. If the caller dies the child waits for
// good, unless the end of that pipe is what it waits for: killing its cgroup is the way to be rid of it.
func StartParked(p *Program, files map[string]*os.File) (k *Parked, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if p.parkPoint() < 0 {
		return nil, errors.New("bad program: it has no park point")
	}
	s, err := prepare(p, files)
	if err == nil {
		k, err = s.start(p)
	}
	s.close(err)
	return k, err
}

// parkedStart is a parked start under way.
type parkedStart struct {
	parker, report *os.File // report is the child's end of watch
	watch          *os.File
	image          *image
	child          *child
	assembly       *assembly
}

// prepare makes what the start needs. It is to be closed even after an error.
func prepare(p *Program, files map[string]*os.File) (s *parkedStart, err error) {
	s = &parkedStart{}
	if s.parker, err = parker.Open(); err != nil {
		return s, err
	}
	if s.image, err = newImage(); err != nil {
		return s, err
	}
	if s.watch, s.report, err = os.Pipe(); err != nil {
		return s, fmt.Errorf("cannot start: %w", err)
	}
	k, err := newParking(p, s.parker, s.image.file, s.report)
	if err != nil {
		return s, err
	}
	if s.child, err = newChild(&k.program, files, nil); err != nil {
		return s, err
	}
	l := measure(&k.program, k.more)
	memory, err := s.image.allot(l.total())
	if err != nil {
		return s, err
	}
	k.lead(s.image.fd, s.image.address, uintptr(s.image.size()))
	s.assembly = assemble(&k.program, s.child.fds, k.more, l, memory)
	s.assembly.park = k.at
	return s, nil
}

func (s *parkedStart) start(p *Program) (*Parked, error) {
	a := s.assembly
	o, err := s.child.spawn(a, Timeout)
	if err != nil {
		return nil, err
	}
	if !a.parked() {
		return nil, o.settle(a, a.failure(o.timedOut, false))
	}
	k := &Parked{Process: *o.process, watch: s.watch, image: s.image, program: p, assembly: a}
	if err := k.refresh(); err != nil {
		o.process.discard()
		return nil, fmt.Errorf("cannot start: %w", err)
	}
	return k, nil
}

// close frees what only the start needs, and all of it after an error.
func (s *parkedStart) close(err error) {
	files := []*os.File{s.parker, s.report}
	if s.image != nil {
		s.image.munmap()
	}
	if err != nil {
		files = append(files, s.watch)
		if s.image != nil {
			files = append(files, s.image.file)
		}
	}
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}

// parked tells whether a child that has let go of the starter did so at the park point. It may be well beyond already.
func (a *assembly) parked() bool {
	at := a.index(atomic.LoadUintptr(&a.frame.current))
	return at > a.park || at == a.park && a.frame.failed == 0
}

// refresh reads the image anew. After an error it is seen as it was before.
func (k *Parked) refresh() error {
	memory := make([]uint64, k.assembly.readable())
	if err := k.image.read(memory, 0); err != nil {
		return err
	}
	k.assembly.view(memory)
	return nil
}

// Wait waits until the child has executed its command. If it could not, it is reaped, its pidfd is closed, and the error is
// an *Error, which tells the step; its Signal tells if it was killed. If the context ends first the error is the context's,
// and nothing changes: Wait may be called again, though not twice at a time, or Abandon.
func (k *Parked) Wait(ctx context.Context) error {
	if done, err := k.result(); done {
		return err
	}
	if err := k.await(ctx); err != nil {
		return fmt.Errorf("cannot wait for %s to execute its command: %w", k.Pidfd.Name(), err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(); err != nil {
		return fmt.Errorf("cannot tell what became of %s: %w", k.Pidfd.Name(), err)
	}
	k.settled = true
	k.err = k.settle()
	_, _ = k.watch.Close(), k.image.file.Close()
	return k.err
}

// settle tells why a child that is done with its program executed no command, nil if it did.
func (k *Parked) settle() error {
	end, rebirth := k.discard, k.assembly.program.point(reborn)
	born := rebirth < 0
	if !born {
		exit, has, err := k.inherit()
		if born = has; !born {
			defer k.Pidfd.Close()
			end = func() Exit { return exit }
		}
		if err != nil {
			return err
		}
	}
	failure := k.failure(end)
	switch {
	case failure != nil:
		return failure
	case !born: // it had a child, or was about to, and was killed
		failure = &Error{Step: k.assembly.program.Ops[rebirth].Step, Errno: unix.EINTR, Op: rebirth, Birth: true}
		failure.blame(end(), false)
		return failure
	}
	return nil
}

func (k *Parked) result() (done bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.settled, k.err
}

// await returns when the child no longer has the image, so has a new one or none. The pipe says when that is worth a look.
func (k *Parked) await(ctx context.Context) error {
	if err := k.read(ctx); err != nil {
		return err
	}
	for begin := time.Now(); ; {
		if used, err := k.image.used(); !used || err != nil {
			return err
		}
		// A part of the time so far, so that it is not much longer in the end.
		pause := min(max(time.Since(begin)/8, 20*time.Microsecond), 5*time.Millisecond)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// read waits for the pipe to close. Children that were made at the same time have it open as well, until they execute.
func (k *Parked) read(ctx context.Context) error {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = k.watch.SetReadDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	_, err := k.watch.Read(make([]byte, 1))
	if !stop() {
		<-interrupted
		_ = k.watch.SetReadDeadline(time.Time{})
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// failure tells why a child that is done with its program executed no command, nil if it did. What ends such a child tells how it ended.
func (k *Parked) failure(end func() Exit) *Error {
	a := k.assembly
	failure := a.failure(false, false)
	failed := a.frame.failed != 0
	switch {
	case failure != nil:
		failure.blame(end(), failed)
	case a.index(a.frame.current) == a.park: // the parker ended at once
		failure = a.at(a.frame.current)
		exit := end()
		failure.Errno = unix.Errno(exit.Code)
		failure.blame(exit, false)
	}
	return failure
}

// Slot is the latest result that an op has left in a slot of the program, while that runs or afterwards; ok is false if
// none has, or it was an error.
func (k *Parked) Slot(s Slot) (value int64, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s < 1 || int(s) > k.assembly.program.Slots {
		return 0, false
	}
	at := k.assembly.slotWord(s)
	word := k.assembly.memory[at : at+1]
	if !k.settled {
		_ = k.image.read(word, at)
	}
	value = int64(word[0])
	return value, value >= 0
}

// String lists the ops of the program with what the kernel has answered to each so far.
func (k *Parked) String() string { return k.program.format(k.results()) }

// results are what the kernel has answered to each op, notRun to one that it has not, or was not asked.
func (k *Parked) results() []int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.settled {
		_ = k.refresh()
	}
	return k.assembly.results()
}

// Close gives up watching the child, which goes on; Wait then returns an error. The pidfd stays open.
func (k *Parked) Close() error { return errors.Join(k.watch.Close(), k.image.file.Close()) }
