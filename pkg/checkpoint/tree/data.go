package tree

import (
	"context"
	"io"

	"golang.org/x/sys/unix"
)

// data makes a regular file.
func (a *applier) data(e *entry, dir int, base string) error {
	fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !e.sparse {
		e.segments = []segment{{0, e.size}}
	}
	var end int64
	for _, s := range e.segments {
		if err := a.copy(fd, s); err != nil {
			return err
		}
		end = s.at + s.size
	}
	if end < e.size {
		if err := unix.Ftruncate(fd, e.size); err != nil {
			return err
		}
	}
	return a.give(e, handle{dir: fd})
}

// copy copies a segment from the archive.
func (a *applier) copy(fd int, s segment) error {
	for s.size > 0 {
		if err := context.Cause(a.ctx); err != nil {
			return err
		}
		n, err := io.ReadFull(&a.in, a.buf[:min(s.size, int64(len(a.buf)))])
		if err != nil {
			return err
		}
		if err := writeAt(fd, a.buf[:n], s.at); err != nil {
			return err
		}
		s.at, s.size = s.at+int64(n), s.size-int64(n)
	}
	return nil
}

// writeAt is pwrite(2) of all bytes.
func writeAt(fd int, data []byte, at int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}
