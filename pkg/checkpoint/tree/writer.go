package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// bufferSize is what is written at once. Data of a file that fits goes through the buffer, of a larger one past it.
const bufferSize = 256 << 10

// writer writes an archive.
type writer struct {
	ctx context.Context
	out io.Writer
	buf []byte // what is not written yet
}

func newWriter(ctx context.Context, out io.Writer) *writer {
	return &writer{ctx: ctx, out: out, buf: make([]byte, 0, bufferSize)}
}

// entry writes an entry, and of a file the data of the descriptor fd.
func (w *writer) entry(e *entry, fd int) error {
	if err := w.room(blockSize); err != nil {
		return err
	}
	var described []byte
	stored := e.size
	if e.sparse {
		described = appendSegments(nil, e)
		stored = int64(len(described))
		for _, s := range e.segments {
			stored += s.size
		}
	}
	var err error
	if w.buf, err = appendHeader(w.buf, e, stored); err != nil {
		return err
	}
	w.buf = append(w.buf, described...)
	if e.kind != kindFile {
		return nil
	}
	for _, s := range e.segments {
		if err := w.data(fd, s); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, zeros[:padding(stored)]...)
	return nil
}

// data copies a segment of a file.
func (w *writer) data(fd int, s segment) error {
	if f, ok := w.out.(*os.File); ok && s.size > bufferSize {
		if err := w.flush(); err != nil {
			return err
		}
		var err error
		if s, err = w.send(f, fd, s); err != nil {
			return err
		}
	}
	for s.size > 0 {
		if err := w.room(min(s.size, bufferSize/2)); err != nil {
			return err
		}
		room := w.buf[len(w.buf):cap(w.buf)]
		n, err := unix.Pread(fd, room[:min(s.size, int64(len(room)))], s.at)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return errChanged
		}
		w.buf = w.buf[:len(w.buf)+n]
		s.at, s.size = s.at+int64(n), s.size-int64(n)
	}
	return nil
}

// send has the kernel copy to the file of the archive, which takes a fifth less time than to read and to write. It returns what is left: all of it
// where the file cannot take it so (sendfile(2), EINVAL), one that is open to append for example.
func (w *writer) send(to *os.File, fd int, s segment) (segment, error) {
	for s.size > 0 {
		if err := context.Cause(w.ctx); err != nil {
			return s, err
		}
		at := s.at
		n, err := unix.Sendfile(int(to.Fd()), fd, &at, int(min(s.size, 16*bufferSize)))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EINVAL, err == unix.ENOSYS:
			return s, nil
		case err != nil:
			return s, fmt.Errorf("cannot write the archive: %w", err)
		case n == 0:
			return s, errChanged
		}
		s.at, s.size = s.at+int64(n), s.size-int64(n)
	}
	return s, nil
}

// errChanged tells that a file is not what it was when its header was written.
var errChanged = errors.New("it became shorter while it was read")

// room makes room for some bytes in the buffer.
func (w *writer) room(size int64) error {
	if int64(cap(w.buf)-len(w.buf)) >= size {
		return nil
	}
	return w.flush()
}

// flush writes what is in the buffer.
func (w *writer) flush() error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	if err != nil {
		return fmt.Errorf("cannot write the archive: %w", err)
	}
	return nil
}

// end writes the end of the archive.
func (w *writer) end() error {
	w.buf = append(append(w.buf, zeros[:]...), zeros[:]...)
	return w.flush()
}
