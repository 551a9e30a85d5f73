package start

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

// Target is the process whose namespaces and root a further one joins, open.
type Target struct {
	Root *rootfs.Root
	IDs  mount.IDMap // of its user namespace, zero for this process's

	pid         int
	pidfd, time *os.File
}

// OpenTarget opens what belongs to a process. The pidfd becomes the target's, unless there is an error; of a process that has ended, it is ESRCH.
func OpenTarget(pid int, pidfd *os.File) (_ *Target, err error) {
	t := &Target{pid: pid}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if t.Root, err = rootfs.Open(fmt.Sprintf("/proc/%d/root", pid)); err != nil {
		return nil, err
	}
	if t.time, err = os.Open(fmt.Sprintf("/proc/%d/ns/time", pid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if t.IDs, err = idsOf(pid); err != nil {
		return nil, err
	}
	// What was opened by number is the process's if it is still there.
	if err := process.There(pidfd); err != nil {
		return nil, err
	}
	t.pidfd = pidfd
	return t, nil
}

// Lives is ESRCH of a process that has ended: what has been opened by its number since may be a stranger's.
func (t *Target) Lives() error { return process.There(t.pidfd) }

// PIDNamespace is where the process is.
func (t *Target) PIDNamespace() (in namespace.ID, err error) {
	if in, err = namespace.OfProcess(t.pid, namespace.FilePID); err == nil {
		err = t.Lives()
	}
	return in, err
}

// idsOf are the ranges of a process's user namespace, zero when it is ours.
func idsOf(pid int) (ids mount.IDMap, err error) {
	theirs, err := namespace.OfProcess(pid, namespace.FileUser)
	if err != nil {
		return ids, err
	}
	if own, err := namespace.OfProcess(os.Getpid(), namespace.FileUser); err != nil || own == theirs {
		return ids, err
	}
	ids.UIDs, ids.GIDs, err = namespace.MapsOf(pid)
	return ids, err
}

// Files are those that a program of the plan joins by.
func (t *Target) Files(plan Exec) map[string]*os.File {
	files := map[string]*os.File{namespace.FileTarget: t.pidfd}
	if plan.Time {
		files[namespace.FileTime] = t.time
	}
	return files
}

// Close closes all files.
func (t *Target) Close() {
	if t == nil {
		return
	}
	for _, f := range []*os.File{t.pidfd, t.time} {
		if f != nil {
			_ = f.Close()
		}
	}
	if t.Root != nil {
		_ = t.Root.Close()
	}
}
