package survey

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// shown are the types of file systems that show a container's namespaces: who restores those makes them anew.
var shown = []string{"proc", "sysfs", "devpts", "mqueue"}

// Shown tells whether a mount is one of those, or of a part of one. What is bound from the node's proc, say, is not.
func Shown(m proc.Mount, all []proc.Mount) bool {
	return slices.Contains(shown, m.Type) && slices.ContainsFunc(all, func(o proc.Mount) bool {
		return o.Device == m.Device && o.Root == "/" && o.Type == m.Type
	})
}

// Mounts are what a container's first process has mounted, its root aside. A mount that lies over another one is errors.ErrUnsupported.
func Mounts(init int) (mounts []proc.Mount, err error) {
	all, err := MountsOf(init)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.Point] {
			return nil, unsupported("mount %s lies over another one", m.Point)
		}
		seen[m.Point] = true
		if m.Point != "/" {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

// CheckName refuses a mount with a name that no image can hold, for who names it there.
func CheckName(m proc.Mount) error {
	if strings.ContainsAny(m.Point, "]\n") {
		return unsupported("mount %q has a name that no image can hold", m.Point)
	}
	return nil
}

// MountsOf are all the mounts that a process sees.
func MountsOf(pid int) (mounts []proc.Mount, err error) {
	text, err := process.Read(pid, "mountinfo")
	if err != nil {
		return nil, err
	}
	mounts = make([]proc.Mount, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		if m, ok := proc.ParseMount(line); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

// OpenInside opens what is at a path of a process's tree, which others may have as well: no link leads away.
func OpenInside(pid int, path string, flags uint64) (*os.File, error) {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(root.Fd()), path, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join("/", path), Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Staged is a mount of a tree that stands at a stage for a container to be restored.
type Staged struct {
	Point  string // in the container
	Source string // where it is
	Type   string
	Root   string   // what of its file system it shows
	Flags  []string // ro, nosuid ...
	// Made tells that who restores has to make it, in the container's namespaces: proc, or a part of it.
	Made bool

	id int // its number in the mount namespace of who restores
}

// At are the mounts at and below a stage that a process has in front of it. What the root lies over, the parts of an overlay, is not among them. IsMade tells
// of one among all whether it is Made; nil: none is.
func At(stage string, pid int, isMade func(m proc.Mount, all []proc.Mount) bool) (staged []Staged, err error) {
	all, err := MountsOf(pid)
	if err != nil {
		return nil, err
	}
	byID, root := map[int]proc.Mount{}, 0
	for _, m := range all {
		byID[m.ID] = m
	}
	for _, m := range all { // of several at one place, each is on the one before
		if m.Point == stage && (root == 0 || below(byID, m.ID, root)) {
			root = m.ID
		}
	}
	all = slices.DeleteFunc(all, func(m proc.Mount) bool { return root == 0 || m.ID != root && !below(byID, m.ID, root) })
	byPoint := map[string]int{} // the topmost, in staged
	for _, m := range all {
		point := cmp.Or(strings.TrimPrefix(m.Point, stage), "/")
		one := Staged{Point: point, Source: m.Point, Type: m.Type, Root: m.Root, Flags: m.Flags, Made: isMade != nil && isMade(m, all), id: m.ID}
		if i, two := byPoint[point]; two {
			if below(byID, m.ID, staged[i].id) {
				staged[i] = one
			}
			continue
		}
		byPoint[point] = len(staged)
		staged = append(staged, one)
	}
	return staged, nil
}

// below tells whether a mount is on another one, or on one that is.
func below(byID map[int]proc.Mount, id, above int) bool {
	for range byID {
		m, ok := byID[id]
		if !ok {
			return false
		}
		if id = m.Parent; id == above {
			return true
		}
	}
	return false
}
