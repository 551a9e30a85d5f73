package linux

import (
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

// expose marks an instance and returns when nothing is on its way that did not know.
func (n *Node) expose(name string, id uint64) error {
	n.joining.Lock()
	defer n.joining.Unlock()
	if marked, err := n.exposed(name, id); marked || err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(n.instanceDir(name, id), exposedFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
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

// join confines an exec where that is needed, and keeps out whoever would look into one that is not confined, until it is done.
func (n *Node) join(name string, id uint64, plan *start.Exec) (done func(), err error) {
	if plan.Exposes {
		if err := n.expose(name, id); err != nil {
			return nil, err
		}
	}
	if plan.Attribute.Reborn {
		return func() {}, nil
	}
	n.joining.RLock()
	marked, err := n.exposed(name, id)
	if err == nil && !marked {
		return n.joining.RUnlock, nil
	}
	n.joining.RUnlock()
	if err != nil {
		return nil, err
	}
	return func() {}, plan.Confine()
}

// joinPID marks the instances in a pid namespace that a container is about to join, and refuses one where that could be looked into; nil is none.
func (n *Node) joinPID(pidns *os.File) (done func(), err error) {
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
	n.joining.RLock()
	if err := start.CheckJoin(pidns); err != nil {
		n.joining.RUnlock()
		return nil, err
	}
	return n.joining.RUnlock, nil
}
