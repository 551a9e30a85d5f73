package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ParseSignal reads a signal by name, with or without SIG, or number.
func ParseSignal(text string) (unix.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > 64 {
			return 0, invalid("unknown signal %q", text)
		}
		return unix.Signal(n), nil
	}
	upper := strings.ToUpper(text)
	if !strings.HasPrefix(upper, "SIG") {
		upper = "SIG" + upper
	}
	n, ok := spec.Signals[upper]
	if !ok {
		return 0, invalid("unknown signal %q", text)
	}
	return unix.Signal(n), nil
}

// Kill sends a signal to a container's first process, or to all of its processes.
func (r *Runtime) Kill(_ context.Context, id string, sig unix.Signal, all bool) error {
	rec, err := r.read(id)
	if err != nil {
		return err
	}
	if all {
		return r.killAll(rec, sig)
	}
	pidfd, err := rec.open()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := process.Signal(pidfd, sig); errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	} else if err != nil {
		return err
	}
	return nil
}

func (r *Runtime) killAll(rec record, sig unix.Signal) error {
	if !rec.Owned {
		return ErrNotRunning
	}
	group, err := r.group(rec)
	if err != nil {
		return err
	}
	defer group.Close()
	if sig == unix.SIGKILL {
		return gone(group.Kill())
	}
	pids, err := group.Procs()
	if err != nil {
		return gone(err)
	}
	return signalIn(group, pids, sig)
}

// signalIn sends a signal to those of some processes that are still in the group once all are held by descriptors: their numbers may have gone to others.
func signalIn(group *cgroup.Group, pids []int, sig unix.Signal) error {
	held := map[int]*os.File{}
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // else it has ended
			held[pid] = os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
			defer held[pid].Close()
		}
	}
	inside, err := group.Procs()
	if err != nil {
		return gone(err)
	}
	var errs []error
	for _, pid := range inside {
		if held[pid] == nil {
			continue
		}
		if err := process.Signal(held[pid], sig); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// deleting bounds how long the end of a killed container is waited for.
const deleting = 30 * time.Second

// Delete removes a container that has stopped, or one that was only created; with force any. With force, one that is not there is no error.
func (r *Runtime) Delete(ctx context.Context, id string, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, deleting)
	defer cancel()
	if force {
		r.interrupt(id)
	}
	dir, err := r.hold(ctx, id)
	if force && errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.close()
	rec, err := readRecord(dir.file(stateFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && force: // what was made before it was written is in this directory, and nowhere else
		return dir.remove()
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotExist
	case errors.Is(err, errTorn) && force:
		rec = r.guess(id)
	case err != nil:
		return err
	}
	if status, err := r.status(rec); err != nil {
		return err
	} else if !force && status != specs.StateStopped && status != specs.StateCreated {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	return r.delete(ctx, dir, rec)
}

// interrupt ends the processes of a container, so that a verb that has it goes on.
func (r *Runtime) interrupt(id string) {
	rec, err := r.read(id)
	if err != nil || !rec.Owned {
		return
	}
	if group, err := r.group(rec); err == nil {
		_, _ = group.Kill(), group.Close()
	}
}

func (r *Runtime) delete(ctx context.Context, dir *directory, rec record) error {
	if err := endFirst(ctx, rec); err != nil {
		return err
	}
	group, err := r.group(rec)
	if err != nil {
		return err
	}
	defer group.Close()
	if err := r.dismantle(ctx, rec, group); err != nil {
		return err
	}
	t, err := r.hooked(rec, "poststop")
	if err != nil { // of a configuration that is torn, too
		r.Log.Info("the hooks of a container that is deleted are not run", "why", err.Error())
	} else if rec.Pid != 0 {
		if err := onNode(ctx, "poststop", t.Container.Spec.Hooks.Poststop, rec, hook.Stopped); err != nil {
			r.Log.Error(err, "a hook failed")
		}
	}
	return dir.remove()
}

// endFirst kills the first process, wherever its cgroup is, and waits for its end.
func endFirst(ctx context.Context, rec record) error {
	pidfd, err := rec.open()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := process.Signal(pidfd, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}, 50)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if frozen := rec.lives(); !frozen {
			return nil
		}
	}
	return fmt.Errorf("cannot end the container's first process: %w", context.Cause(ctx))
}
