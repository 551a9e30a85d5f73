package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace/inside"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Settle gives a restored container what it has and its image does not, or has of another. Pid is the container's first process, which does not run yet.
func (r *Restore) Settle(pid int) error { return errors.Join(r.settleName(pid), r.settleQueues(pid)) }

// settleName names the container: criu gives it the name that the image has, of the container it was taken of. A group has one name for all.
func (r *Restore) settleName(pid int) error {
	s := r.full.Spec
	if uts := s.Namespaces.UTS; s.Group != "" || uts != "" && uts != spec.NamespacePrivate {
		return nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace.FileUTS))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := inside.Do(f, unix.CLONE_NEWUTS, func() error { return unix.Sethostname([]byte(s.Hostname)) }); err != nil {
		return fmt.Errorf("cannot name the container %q: %w", s.Hostname, err)
	}
	return nil
}

// settleQueues gives to a restored container's superuser what the kernel has made as the node's own: the directory of message queues belongs to who made their namespace,
// and that was nobody whom a user namespace knows. The node's own stays the node's.
func (r *Restore) settleQueues(pid int) error {
	uid, gid, ok := r.Users.Root()
	if r.Users.IsZero() || !ok || r.full.Spec.Namespaces.IPC == spec.NamespaceHost {
		return nil
	}
	mounts, err := survey.MountsOf(pid)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.Type != "mqueue" || m.Root != "/" {
			continue
		}
		dir, err := survey.OpenInside(pid, m.Point, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		err = unix.Fchown(int(dir.Fd()), int(uid), int(gid))
		dir.Close()
		if err != nil {
			return fmt.Errorf("cannot give %s to its users: %w", m.Point, err)
		}
	}
	return nil
}

// settleRestores waits for the end of what an earlier agent was restoring, and does what that had left to do. Until the end an instance looks as it was before, and a verb would
// kill what is about to run, whose connections are open.
func (n *Node) settleRestores(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, 2*keeper.RestorerTimeout)
	defer cancel()
	var errs []error
	err := n.each(func(name string, id uint64) error {
		for keeper.IsRestoring(n.instanceDir(name, id), n.boot) {
			select {
			case <-waiting.Done():
				errs = append(errs, fmt.Errorf("the restore of %q does not end: %w", name, context.Cause(waiting)))
				return nil
			case <-time.After(toolPause):
			}
		}
		errs = append(errs, n.settleLock(ctx, name, id))
		return nil
	})
	return errors.Join(append(errs, err)...)
}
