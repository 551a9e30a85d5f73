package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
)

// lead is hold for verbs that change what is there, and tells what that is.
func (r *Runtime) lead(ctx context.Context, id string) (dir *directory, rec record, status specs.ContainerState, err error) {
	if dir, err = r.hold(ctx, id); err != nil {
		return nil, rec, "", err
	}
	if rec, err = r.read(id); err == nil {
		status, err = r.status(rec)
	}
	if err != nil {
		dir.close()
	}
	return dir, rec, status, err
}

// Start lets a created container execute its command. With notify, the socket of the service manager (sd_notify(3)), it returns when the container has
// said that it is ready.
func (r *Runtime) Start(ctx context.Context, id, notify string) error {
	dir, rec, status, err := r.lead(ctx, id)
	if err != nil {
		return err
	}
	defer dir.close()
	switch status {
	case specs.StateCreated:
	case specs.StateStopped:
		return errors.New("cannot start a container that has stopped")
	default:
		return fmt.Errorf("cannot start an already running container: it is %s", status)
	}
	t, err := r.hooked(rec, "startContainer", "poststart")
	if err != nil {
		return err
	}
	notifier, err := dir.listen(notify)
	defer notifier.close()
	if err == nil {
		err = r.startContainer(ctx, rec, t)
	}
	if err == nil {
		if err = release(ctx, dir, rec.Command); err == nil {
			err = onNode(ctx, "poststart", t.Container.Spec.Hooks.Poststart, rec, hook.Running)
		}
	}
	if err != nil { // the container is stopped; what is left of it is Delete's
		return errors.Join(err, r.stop(ctx, rec))
	}
	return notifier.wait(ctx, rec)
}

// release lets the waiting child go on, and returns when it has executed its command or told why not.
func release(ctx context.Context, dir *directory, command string) error {
	result, err := os.OpenFile(dir.file(resultFIFO), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer result.Close()
	door, err := openWriter(dir.file(startFIFO))
	if err != nil {
		return fmt.Errorf("cannot start the container: its first process does not wait: %w", err)
	}
	_, err = door.Write([]byte{0})
	if err = errors.Join(err, door.Close()); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = result.Close() })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(result, 1<<16)) // ends when the child has executed, or has ended
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if len(text) > 0 {
		return reported(text, command)
	}
	return errors.Join(os.Remove(dir.file(startFIFO)), os.Remove(dir.file(resultFIFO)))
}

// stop ends a container's processes.
func (r *Runtime) stop(ctx context.Context, rec record) error {
	if !rec.Owned {
		return nil
	}
	group, err := r.group(rec)
	if err != nil {
		return err
	}
	defer group.Close()
	return gone(r.end(context.WithoutCancel(ctx), group))
}

// Pause freezes a container's processes.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.freezing(ctx, id, "paused", []specs.ContainerState{specs.StateRunning, specs.StateCreated}, func(ctx context.Context, g *cgroup.Group) error { return g.Freeze(ctx) })
}

// Resume lets them run again.
func (r *Runtime) Resume(ctx context.Context, id string) error {
	return r.freezing(ctx, id, "resumed", []specs.ContainerState{StatePaused}, func(ctx context.Context, g *cgroup.Group) error { return g.Thaw(ctx) })
}

func (r *Runtime) freezing(ctx context.Context, id, done string, from []specs.ContainerState, do func(context.Context, *cgroup.Group) error) error {
	dir, rec, status, err := r.lead(ctx, id)
	if err != nil {
		return err
	}
	defer dir.close()
	for _, s := range from {
		if s != status {
			continue
		}
		group, err := r.group(rec)
		if err != nil {
			return err
		}
		defer group.Close()
		return do(ctx, group)
	}
	if status == specs.StateStopped {
		return ErrNotRunning
	}
	return fmt.Errorf("container cannot be %s: it is %s", done, status)
}
