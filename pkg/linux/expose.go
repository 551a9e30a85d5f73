package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
)

// exposedFile marks an instance whose processes can be looked into by others than its spec tells of: an exec that was given capabilities, a
// container that has joined its pid namespace. Whatever joins it from then on is confined.
const exposedFile = "exposed"

// expose marks an instance. What is on its way into it then may not know yet.
func (n *Node) expose(name string, id uint64) error {
	if marked, err := n.exposed(name, id); marked || err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(n.instanceDir(name, id), exposedFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist): // by another exec
		return nil
	case err != nil:
		return fmt.Errorf("cannot note that others may look into %q: %w", name, err)
	}
	return f.Close()
}

// exposed tells whether an instance is marked.
func (n *Node) exposed(name string, id uint64) (bool, error) {
	_, err := os.Lstat(filepath.Join(n.instanceDir(name, id), exposedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// join confines an exec where that is needed, and keeps out whoever would look into one that is not confined, until it is done. One that may look waits
// until nobody is on the way who is not.
func (n *Node) join(ctx context.Context, name string, id uint64, target *start.Target, plan *start.Exec) (done func(), err error) {
	in, err := target.PIDNamespace()
	if err != nil {
		return nil, err
	}
	if plan.Exposes {
		if err := n.expose(name, id); err != nil {
			return nil, err
		}
		if !plan.Attribute.Reborn {
			if err := plan.Confine(); err != nil {
				return nil, err
			}
		}
		return n.joining.enter(ctx, in, manner{sees: true})
	}
	if plan.Attribute.Reborn {
		return func() {}, nil
	}
	done, ok := n.joining.try(in, manner{isSeen: true})
	if ok {
		marked, err := n.exposed(name, id)
		if err == nil && !marked {
			return done, nil
		}
		done()
		if err != nil {
			return nil, err
		}
	}
	return func() {}, plan.Confine()
}

// joinPID marks the instances in a pid namespace that a container is about to join, and refuses one where that could be looked into; nil is none. It
// waits until nobody is on the way there who may look, or could be seen by the container.
func (n *Node) joinPID(ctx context.Context, pidns *os.File, sees bool) (done func(), err error) {
	if pidns == nil {
		return func() {}, nil
	}
	want, err := namespace.Of(pidns)
	if err != nil {
		return nil, err
	}
	err = n.each(func(name string, id uint64) error {
		in, err := n.observe(name, id)
		if err != nil || !live(in) {
			return err
		}
		if its, err := namespace.OfProcess(in.Pid, namespace.FilePID); err != nil || its != want {
			return nil // it has ended meanwhile, or is elsewhere
		}
		return n.expose(name, id)
	})
	if err != nil {
		return nil, err
	}
	done, err = n.joining.enter(ctx, want, manner{isSeen: true, sees: sees})
	if err != nil {
		return nil, err
	}
	if err := start.CheckJoin(pidns); err != nil {
		done()
		return nil, err
	}
	return done, nil
}
