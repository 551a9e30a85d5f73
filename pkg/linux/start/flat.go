package start

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// flatDir is where a tool's mount namespace has the mounts of a tree side by side, none below another.
const flatDir = "mounts"

// Flatten puts a copy of each mount of a tool's tree beside the others, and tells where the copies are. What is Made stays. Who is in a user namespace of its own, in a
// copy of the tool's mount namespace, finds all mounts locked to what they are on: it can only take copies of mounts with nothing below them. See
// mount_namespaces(7).
func Flatten(pid int, tree []survey.Staged) ([]survey.Staged, error) {
	tree = slices.Clone(tree)
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	run, err := survey.OpenInside(pid, filepath.Dir(Stage), unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	if err := unix.Mkdirat(int(run.Fd()), flatDir, 0o711); err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", flatDir, err)
	}
	p, files := &process.Program{}, map[string]*os.File{"mnt": ns, "run": run}
	defer func() {
		for _, m := range tree {
			if f := files[m.Point]; f != nil {
				f.Close()
			}
		}
	}()
	p.Call("join the tool's mounts", "", unix.SYS_SETNS, p.File("mnt"), process.Int(unix.CLONE_NEWNS))
	for i := range tree {
		m := &tree[i]
		if m.Made {
			continue
		}
		name := path.Join(flatDir, fmt.Sprint(i))
		if files[m.Point], err = survey.OpenInside(pid, m.Source, unix.O_PATH); err != nil {
			return nil, err
		}
		if err := makePoint(run, name, files[m.Point]); err != nil {
			return nil, err
		}
		const step = "put the mount aside"
		flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH
		one := p.CallFD(step, m.Point, unix.SYS_OPEN_TREE, p.File(m.Point), process.Str(""), process.Int(flags))
		p.Call(step, m.Point, unix.SYS_MOVE_MOUNT, one, process.Str(""), p.File("run"), process.Str(name), process.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
		m.Source = path.Join(filepath.Dir(Stage), name)
	}
	return tree, process.Run(p, files)
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
