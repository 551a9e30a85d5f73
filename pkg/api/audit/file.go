package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// file is the newest file of a log, mode 0600, and those before it. It is opened when it is needed, and again after a failure.
type file struct {
	dir, name string
	max       int64 // bytes of one file
	old       int   // files beside it: NAME.1 is the newest of them
	f         *os.File
	size      int64
}

func (a *file) path() string { return filepath.Join(a.dir, a.name) }

// write appends lines that are read together or not at all.
func (a *file) write(lines []byte) error {
	if a.size+int64(len(lines)) > a.max {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	if err := a.open(); err != nil {
		return err
	}
	if _, err := a.f.Write(lines); err != nil {
		// Half a line would spoil the next one.
		err = errors.Join(fmt.Errorf("cannot write the audit log: %w", err), a.f.Truncate(a.size))
		a.close()
		return err
	}
	a.size += int64(len(lines))
	return nil
}

func (a *file) open() error {
	if a.f != nil {
		return nil
	}
	f, err := os.OpenFile(a.path(), os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the audit log: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("cannot open the audit log: %w", err)
	}
	a.f, a.size = f, info.Size()
	return nil
}

// rotate puts the file aside, and drops the oldest. A file that cannot be put aside is not written to any more, so that the size is bounded.
func (a *file) rotate() error {
	for i := a.old; i > 0; i-- {
		from := a.path()
		if i > 1 {
			from = fmt.Sprintf("%s.%d", a.path(), i-1)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", a.path(), i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot put the audit log aside: %w", err)
		}
	}
	a.close()
	a.size = 0
	return nil
}

func (a *file) close() {
	if a.f != nil {
		a.f.Close()
		a.f = nil
	}
}
