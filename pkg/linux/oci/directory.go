package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
)

// The files of a container's directory.
const (
	stateFile  = "state.json"
	startFIFO  = "exec.fifo"   // who is created waits for a byte from it
	resultFIFO = "exec.result" // gets the errnos of a command that could not be executed
	notifyDir  = "notify"      // see notify.go
)

// directory is a container's own, held by one verb at a time.
type directory struct {
	path string
	lock *os.File // the directory itself, with flock(2)
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// close lets the next verb have it.
func (d *directory) close() { _ = d.lock.Close() }

// claim makes the directory of a new container and holds it. What was left by a runtime that died before it had made anything is taken over.
func (r *Runtime) claim(id string) (*directory, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if err := r.ensureRoot(); err != nil {
		return nil, err
	}
	path := filepath.Join(r.Root, id)
	if err := os.Mkdir(path, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make the state directory: %w", err)
	}
	d, err := openDirectory(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrExist // and just removed
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = os.Lstat(d.file(stateFile))
	}
	if errors.Is(err, fs.ErrNotExist) && d.there() {
		return d, nil
	}
	d.close()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		err = ErrExist
	}
	return nil, err
}

// there tells whether the held directory still is the one of its path.
func (d *directory) there() bool {
	held, err := d.lock.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(d.path)
	return err == nil && os.SameFile(held, now)
}

func openDirectory(path string) (*directory, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &directory{path, f}, nil
}

// busy is how long a verb waits for another one that has the container.
const busy = 30 * time.Second

// hold takes the directory of a container that is there, when no other verb has it any more.
func (r *Runtime) hold(ctx context.Context, id string) (*directory, error) {
	if err := errors.Join(checkID(id), r.checkRoot()); err != nil {
		return nil, err
	}
	d, err := openDirectory(filepath.Join(r.Root, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, busy)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err = unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && !d.there() {
			err = ErrNotExist
		}
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			d.close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			d.close()
			return nil, fmt.Errorf("another command has container %s: %w", id, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// held tells whether some verb has the container.
func (r *Runtime) held(id string) bool {
	d, err := openDirectory(filepath.Join(r.Root, id))
	if err != nil {
		return false
	}
	defer d.close()
	return errors.Is(unix.Flock(int(d.lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// writeJSON puts a value in the place of a file, whole or not at all.
func (d *directory) writeJSON(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return statefile.Replace(d.file(name), text, 0o600, false)
}

// remove removes the directory, the record last, so that what is left of it after a kill can be removed again.
func (d *directory) remove() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("cannot remove the state: %w", err)
	}
	for _, e := range entries {
		if e.Name() != stateFile {
			if err := os.RemoveAll(d.file(e.Name())); err != nil {
				return fmt.Errorf("cannot remove the state: %w", err)
			}
		}
	}
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("cannot remove the state: %w", err)
	}
	return nil
}
