package namespace

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ID tells namespaces apart: the device and inode of their nsfs file. See namespaces(7). Comparable with ==;
// meaningful while something holds the namespace, since inode numbers are used again.
type ID struct{ Dev, Ino uint64 }

// Of is the identity of an open namespace file.
func Of(f *os.File) (ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return ID{}, fmt.Errorf("cannot identify namespace %s: %w", f.Name(), err)
	}
	return ID{st.Dev, st.Ino}, nil
}

// Text is the namespace as /proc/PID/ns shows it: net:[4026531840].
func (id ID) Text(kind string) string { return fmt.Sprintf("%s:[%d]", kind, id.Ino) }

// OfSelf is the identity of the calling process's own namespace of a kind.
func OfSelf(kind string) (ID, error) { return OfProcess(os.Getpid(), kind) }

// OfProcess is the identity of a process's namespace of the given kind: net, ipc, uts, pid, mnt, cgroup, user.
func OfProcess(pid int, kind string) (ID, error) {
	path := fmt.Sprintf("/proc/%d/ns/%s", pid, kind)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return ID{}, fmt.Errorf("cannot identify namespace %s: %w", path, err)
	}
	return ID{st.Dev, st.Ino}, nil
}
