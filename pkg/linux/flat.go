package linux

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// flatDir is where a tool's mount namespace has the mounts of a tree side by side, none below another.
const flatDir = "mounts"

// flatten puts a copy of each mount of the tree beside the others. Who is in a user namespace of its own, in a copy of the tool's mount namespace, finds all mounts
// locked to what they are on: it can only take copies of mounts with nothing below them. See mount_namespaces(7).
func (r *Restore) flatten() error {
	at := fmt.Sprintf("/proc/%d", r.Pid)
	ns, err := os.Open(at + "/ns/mnt")
	if err != nil {
		return err
	}
	defer ns.Close()
	run, err := survey.OpenInside(r.Pid, filepath.Dir(start.Stage))
	if err != nil {
		return err
	}
	defer run.Close()
	if err := unix.Mkdirat(int(run.Fd()), flatDir, 0o711); err != nil {
		return fmt.Errorf("cannot make %s: %w", flatDir, err)
	}
	p, files := &process.Program{}, map[string]*os.File{"mnt": ns, "run": run}
	defer func() {
		for _, m := range r.Mounts {
			if f := files[m.Point]; f != nil {
				f.Close()
			}
		}
	}()
	p.Call("join the tool's mounts", "", unix.SYS_SETNS, p.File("mnt"), process.Int(unix.CLONE_NEWNS))
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if m.Made {
			continue
		}
		name := path.Join(flatDir, fmt.Sprint(i))
		if files[m.Point], err = openStaged(r.Pid, m.Source); err != nil {
			return err
		}
		if err := makePoint(run, name, files[m.Point]); err != nil {
			return err
		}
		const step = "put the mount aside"
		flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH
		one := p.CallFD(step, m.Point, unix.SYS_OPEN_TREE, p.File(m.Point), process.Str(""), process.Int(flags))
		p.Call(step, m.Point, unix.SYS_MOVE_MOUNT, one, process.Str(""), p.File("run"), process.Str(name), process.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
		m.Source = path.Join(filepath.Dir(start.Stage), name)
		if m.Point == "/" {
			r.Root = m.Source
		}
	}
	return process.Run(p, files)
}

// makePoint makes what a mount can be put onto.
func makePoint(dir *os.File, name string, on *os.File) error {
	info, err := on.Stat()
	if err == nil && info.IsDir() {
		err = unix.Mkdirat(int(dir.Fd()), name, 0o700)
	} else if err == nil {
		err = unix.Mknodat(int(dir.Fd()), name, unix.S_IFREG|0o600, 0)
	}
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", name, err)
	}
	return nil
}

// openStaged opens what is at a path of a tool's tree, as a path only. The tree may be a directory that others have as well: no link leads away.
func openStaged(pid int, path string) (*os.File, error) {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(root.Fd()), path, &how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// newNull opens a null device for a container whose own is in no mount that it sees, as its standard input is opened: for reading.
func newNull() (*os.File, error) {
	null, err := mount.NewNull()
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", null.Fd()))
}
