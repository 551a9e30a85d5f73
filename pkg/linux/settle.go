package linux

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// Settle gives to a restored container's superuser what the kernel has made as the node's own: the directory of message queues belongs to who made their namespace, and
// that was nobody whom a user namespace knows. Pid is the container's first process, which does not run yet.
func (r *Restore) Settle(pid int) error {
	uid, gid, ok := r.Users.Root()
	if r.Users.IsZero() || !ok {
		return nil
	}
	mounts, err := mountsOf(pid)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.Type != "mqueue" || m.Root != "/" {
			continue
		}
		dir, err := openInside(pid, m.Point)
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

// limits refuses a process whose limits cannot be read by this node, which criu finds out only when it stands still.
func (s *surveyor) limits(pid int) error {
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_CPU, nil, &limit)
	if err == unix.EPERM {
		return unsupported("it is another user's than root, whose limits cannot be read without CAP_SYS_RESOURCE\nhint: give it to the agent, or say namespaces.user.mode: Auto")
	}
	return err
}

// queues refuses message queues of POSIX, which criu does not save.
func (d *Dump) queues(point string) error {
	dir, err := openInside(d.Instance.Pid, point)
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
