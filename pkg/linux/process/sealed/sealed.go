// Package sealed makes executable files in memory that nobody can change any more. It refuses to know what is in them.
package sealed

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// File makes one that is readable and executable for everybody and close-on-exec; the caller closes it. See
// memfd_create(2).
func File(name string, content []byte) (*os.File, error) {
	fd, err := create(name, unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 there is no MFD_EXEC, and all are executable
		fd, err = create(name, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	if err := fill(file, fd, content); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make %s: %w", name, err), file.Close())
	}
	return file, nil
}

func create(name string, flags int) (int, error) {
	return unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flags)
}

// sealTries is how often sealing is tried again, after waits that double from a millisecond on: two seconds in all.
const sealTries = 10

func fill(file *os.File, fd int, content []byte) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o555); err != nil {
		return err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	// Somebody in the kernel may have a page in hand for a moment, compaction say: EBUSY, see memfd_wait_for_pins in mm/memfd.c.
	for try := 0; ; try++ {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		if !errors.Is(err, unix.EBUSY) || try == sealTries {
			return err
		}
		time.Sleep(time.Millisecond << try)
	}
}
