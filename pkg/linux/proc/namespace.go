package proc

import (
	"golang.org/x/sys/unix"
)

// Namespace is the identity of one of a process's namespaces, the device and inode of its file: see namespaces(7). Values can be compared.
type Namespace struct{ Device, Inode uint64 }

// Namespace tells in which namespace of a kind (net, pid, user: a name below /proc/PID/ns) the process is.
func (d Dir) Namespace(kind string) (Namespace, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.dir.Fd()), "ns/"+kind, &st, 0); err != nil {
		return Namespace{}, d.failed("ns/"+kind, err)
	}
	return Namespace{uint64(st.Dev), st.Ino}, nil
}
