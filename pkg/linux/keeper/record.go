package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// intentFile says that a start is under way: a record without a process. A keeper that finds one looks in the cgroup for
// the process its predecessor may have made, so that an instance is never started twice.
const intentFile = "starting.json"

// maxRecord bounds what is read of a record.
const maxRecord = 1 << 20

// record is start.json: who was started, and what a later keeper needs to take over.
type record struct {
	Started
	ID      string  `json:"id,omitzero"` // of the request
	Key     Key     `json:"key"`
	Sandbox Sandbox `json:"sandbox,omitzero"`
	Log     Log     `json:"log"`
	Cgroup  string  `json:"cgroup"`
	OOM     string  `json:"oom,omitzero"`
	// Init tells that process 1 is the first of a pid namespace of its own.
	Init bool `json:"init"`
	// Restoring tells, of an intent, that what is in the cgroup is not the container yet.
	Restoring bool `json:"restoring,omitzero"`
	// Stdin tells that its input is a pipe that is kept open.
	Stdin bool `json:"stdin,omitzero"`
}

// stopRecord is stop.json. The clock of boottime decides, which no one can set; the deadline is for people.
type stopRecord struct {
	spec.Stopping
	Boottime time.Duration `json:"boottime"` // the deadline, since boot
}

// remaining is how long it is until the deadline.
func (s stopRecord) remaining() time.Duration { return s.Boottime - boottime() }

// boottime is the time since boot, suspension included; see CLOCK_BOOTTIME in clock_gettime(2).
func boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // Linux has had this clock since 2.6.39
	}
	return time.Duration(ts.Nano())
}

// ofRun tells whether an exit.json speaks of the run in a start.json: between the two renames of a start it does not.
func ofRun(e spec.Exit, r record) bool { return e.Pid == r.Pid && e.StartedAt.Equal(r.StartedAt) }

// writeRecord puts a file in place in one rename. It outlives the keeper, and dies with the boot it speaks of, so nothing is synced.
func writeRecord(dir, file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, file)
	if err := writeFile(path+".new", data); err != nil {
		return errors.Join(fmt.Errorf("cannot record in %s: %w", path, err), remove(dir, file+".new"))
	}
	err = unix.Rename(path+".new", path)
	if errors.Is(err, unix.EISDIR) {
		err = errors.Join(os.RemoveAll(path), unix.Rename(path+".new", path))
	}
	if err != nil {
		return fmt.Errorf("cannot record in %s: %w", path, err)
	}
	return nil
}

// writeFile is os.WriteFile without the attempt to wait for the file with the runtime's poller, which doubles the system calls. What has its place and
// is no file is removed.
func writeFile(path string, data []byte) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags, 0o600)
	if slices.Contains([]error{unix.ENXIO, unix.ELOOP, unix.EISDIR}, err) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		fd, err = unix.Open(path, flags, 0o600)
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// readRecord reads a file; fs.ErrNotExist if there is none. Only a regular file is read, and only so much of it.
func readRecord(dir, file string, into any) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("cannot read %s: %w", f.Name(), errors.Join(err, fs.ErrInvalid))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", f.Name(), err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("cannot understand %s: %v", f.Name(), err)
	}
	return nil
}

// remove removes files that may not be there.
func remove(dir string, files ...string) error {
	var errs []error
	for _, file := range files {
		path := filepath.Join(dir, file)
		err := unix.Unlink(path)
		if errors.Is(err, unix.EISDIR) {
			err = os.RemoveAll(path)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("cannot remove %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}
