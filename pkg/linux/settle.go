package linux

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// Settle gives to a restored container's superuser what the kernel has made as the node's own: the directory of message queues belongs to who made their namespace, and
// that was nobody whom a user namespace knows. Pid is the container's first process, which does not run yet.
func (r *Restore) Settle(pid int) error {
	uid, gid, ok := r.Users.Root()
	if r.Users.IsZero() || !ok {
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

// queues refuses message queues of POSIX, which criu does not save.
func (d *Dump) queues(point string) error {
	dir, err := survey.OpenInside(d.Instance.Pid, point)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(4)
	if len(names) > 0 {
		return unsupported("it has POSIX message queues (%s in %s), which cannot be saved", strings.Join(names, ", "), point)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
