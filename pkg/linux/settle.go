package linux

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Settle gives to a restored container's superuser what the kernel has made as the node's own: the directory of message queues belongs to who made their namespace, and
// that was nobody whom a user namespace knows. The node's own stays
// the node's. Pid is the container's first process, which does not run yet.
func (r *Restore) Settle(pid int) error {
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
		dir, err := survey.OpenInside(pid, m.Point)
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
