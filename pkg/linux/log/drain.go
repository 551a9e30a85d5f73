package log

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// turn is how many bytes one Drain moves at most, so that a loud container does not keep others waiting.
const turn = 4 << 20

// Drain moves what is in the pipe to the log, up to limit bytes (0 means 4 MiB), and returns how many bytes that was; 0 means that the pipe was
// empty. Bytes that cannot be written (ENOSPC, EIO) are taken out all the same, because a container must never wait for its
// log; they are counted, noted in the index as soon as that can be written, and the first of a series is an error.
func (w *Writer) Drain(run Run, stream Stream, pipe *os.File, limit int64) (moved int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if limit == 0 {
		limit = turn
	}
	for moved < limit {
		n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
		if err != nil {
			return moved, fmt.Errorf("cannot read %s: %w", pipe.Name(), err)
		}
		if n == 0 {
			break
		}
		n = int(min(int64(n), limit-moved))
		got, failed := w.move(entry{kind: kind(stream), run: run, time: time.Now()}, pipe, n)
		moved += got
		if failed != nil {
			gone, err := w.drop(run, pipe, n)
			moved += gone
			if first := !w.failing; first || err != nil {
				w.failing = true
				return moved, errors.Join(fmt.Errorf("dropped %d bytes of %s: %w", gone, stream, failed), err)
			}
			continue
		}
		w.failing = false
		if got == 0 {
			break // another reader was faster
		}
	}
	return moved, nil
}

// move moves up to n bytes of the pipe to the log under the entry.
func (w *Writer) move(e entry, pipe *os.File, n int) (int64, error) {
	if err := w.makeRoom(); err != nil {
		return 0, err
	}
	if err := w.confess(); err != nil {
		return 0, err
	}
	e.offset = w.rawSize
	if !w.joins(e) {
		if err := w.index(e); err != nil {
			return 0, err
		}
	}
	got, err := splice(pipe, w.raw, w.rawSize, int(min(int64(n), w.room())))
	w.rawSize += got
	return got, err
}

// joins tells whether bytes under e may go under the last entry.
func (w *Writer) joins(e entry) bool {
	return e.kind == w.last.kind && e.run == w.last.run && e.time.Sub(w.last.time) < sameTime
}

// room is how many bytes the segment still takes.
func (w *Writer) room() int64 { return w.limits.MaxSize - w.rawSize - w.idxSize }

// makeRoom begins a new segment when this one has no room left for two entries and a byte, or was removed by somebody.
func (w *Writer) makeRoom() error {
	var st unix.Stat_t
	if w.raw != nil && w.room() > 2*entrySize && unix.Fstat(int(w.raw.Fd()), &st) == nil && st.Nlink > 0 {
		return nil
	}
	return w.next()
}

// index writes an entry. A write cut short by a full disk is overwritten by the next.
func (w *Writer) index(e entry) error {
	var buf [entrySize]byte
	if _, err := w.idx.WriteAt(e.append(buf[:0]), w.idxSize); err != nil {
		return err
	}
	w.idxSize += entrySize
	w.last = entry{}
	if e.kind.bytes() {
		w.last = e
	}
	return nil
}

// drop takes up to n bytes out of the pipe and counts them.
func (w *Writer) drop(run Run, pipe *os.File, n int) (int64, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	gone, err := splice(pipe, null, -1, n)
	w.dropped.Add(gone)
	count := min(int64(w.unsaid.count)+gone, math.MaxUint32)
	w.unsaid = entry{kind: kindDropped, run: run, count: uint32(count), time: time.Now()}
	return gone, err
}

// confess notes in the index what was dropped since the last note.
func (w *Writer) confess() error {
	if w.unsaid.count == 0 {
		return nil
	}
	e := w.unsaid
	e.offset = w.rawSize
	if err := w.index(e); err != nil {
		return err
	}
	w.unsaid = entry{}
	return nil
}

// splice moves up to n bytes from a pipe to a file without waiting for the pipe; at is where in the file, -1 for a
// device. An empty pipe gives 0. See splice(2): the bytes leave the pipe as they reach the file, never before.
func splice(pipe, file *os.File, at int64, n int) (int64, error) {
	offset := &at
	if at < 0 {
		offset = nil
	}
	for {
		got, err := unix.Splice(int(pipe.Fd()), nil, int(file.Fd()), offset, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("splice", err)
		}
		return int64(got), nil
	}
}
