package namespace

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Open opens the namespace at a path, such as /run/netns/blue, and makes sure that it is one of the kind that flag (CLONE_NEWNET) names: another
// file is fs.ErrInvalid. See ioctl_nsfs(2).
func Open(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot join namespace: %w", err)
	}
	var st unix.Statfs_t
	err = unix.Fstatfs(int(f.Fd()), &st)
	kind := 0
	if err == nil && st.Type == unix.NSFS_MAGIC {
		kind, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	}
	if err != nil || kind != flag {
		f.Close()
		return nil, fmt.Errorf("cannot join namespace %s: it is none of the kind wanted: %w", path, fs.ErrInvalid)
	}
	return f, nil
}

// MapsOf are the maps of a process's user namespace, as this process sees them.
func MapsOf(pid int) (uids, gids []spec.IDMapping, err error) {
	if uids, err = readMap(pid, "uid_map"); err == nil {
		gids, err = readMap(pid, "gid_map")
	}
	return uids, gids, err
}

// MapsIn are the maps of a user namespace that nobody may be in.
func MapsIn(user *os.File) (uids, gids []spec.IDMapping, err error) {
	p := &process.Program{}
	p.Call("join user namespace", "", unix.SYS_SETNS, p.File(FileUser), process.Int(unix.CLONE_NEWUSER))
	err = within(p, map[string]*os.File{FileUser: user}, func(pid int) (err error) {
		uids, gids, err = MapsOf(pid)
		return err
	})
	return uids, gids, err
}

func readMap(pid int, file string) (maps []spec.IDMapping, err error) {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ids of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(text)) {
		var m spec.IDMapping
		if _, err := fmt.Sscan(line, &m.ContainerID, &m.HostID, &m.Size); err != nil {
			return nil, fmt.Errorf("cannot understand %s: %q: %w", path, line, err)
		}
		maps = append(maps, m)
	}
	return maps, nil
}
