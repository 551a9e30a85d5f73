package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Seen is what is known of a container's tree besides its mountinfo. Nil functions know nothing.
type Seen struct {
	Mounts []proc.Mount
	// At is the number of the mount whose root a path of the container leads to, symbolic links followed, 0 for none; not known when nobody can tell without
	// waiting for others.
	At func(path string) (id int, known bool)
	// Exists tells whether there is a file at a path in proc or sysfs.
	Exists func(path string) bool
	// Source is a path of the node as mountinfo would show a bind of it: device and root; "" when nobody can tell without waiting.
	Source func(path string) (device, root string)
	// Free tells that the container may mount what it likes: then only what its manifest says is looked at, and nothing of what every container has.
	Free bool
	// Said are the destinations that its manifest says.
	Said []string
}

// watched are the flags that are compared, in the words of mountinfo. Access times are nobody's secret, and the kernel's to say.
var watched = []struct {
	flag uint64
	word string
}{
	{unix.MOUNT_ATTR_RDONLY, "ro"}, {unix.MOUNT_ATTR_NOSUID, "nosuid"}, {unix.MOUNT_ATTR_NODEV, "nodev"}, {unix.MOUNT_ATTR_NOEXEC, "noexec"},
}

// told are the types whose mounts are of that type and no other; of the rest, what is mounted depends on the node.
var told = []string{"tmpfs", "proc", "devpts", "mqueue"}

// Drift compares a tree with what a start of the plan makes: what was unmounted, mounted over with something else, or has other flags or another source. What the
// container mounted besides is its own, also over what a start made.
func (p Plan) Drift(seen Seen) (drifts []spec.Drift) {
	add := func(field, found, wanted string) {
		drifts = append(drifts, spec.Drift{Field: field, Found: found, Wanted: wanted})
	}
	if p.Root.ReadOnly || !p.Root.Overlay && !p.Root.Direct {
		if m, ok := seen.top("/"); ok && !slices.Contains(m.Flags, "ro") {
			add("rootfs", flagsOf(m), "ro")
		}
	}
	for _, m := range merged(p.Mounts) {
		if seen.Free && !slices.Contains(seen.Said, m.Destination) {
			continue
		}
		if found, wanted := m.drift(seen); found != wanted {
			add("mounts["+m.Destination+"]", found, wanted)
		}
	}
	if seen.Free {
		return drifts
	}
	for _, path := range p.Masked {
		if _, ok := seen.top(path); !ok && seen.isKernels(path) {
			add("security.maskedPaths["+path+"]", "shown", "hidden")
		}
	}
	for _, path := range p.Readonly {
		if m, ok := seen.above(path); ok && !slices.Contains(m.Flags, "ro") && seen.isKernels(path) {
			add("security.readonlyPaths["+path+"]", flagsOf(m), "ro")
		}
	}
	return drifts
}

// merged are mounts with what later ones change of them.
func merged(mounts []Mount) (list []Mount) {
	for _, m := range mounts {
		at := slices.IndexFunc(list, func(o Mount) bool { return o.Destination == m.Destination })
		switch {
		case !m.Remount:
			list = append(list, m)
		case at >= 0:
			list[at].Attr.apply(flag{set: m.Attr.Set, clear: m.Attr.Clear})
		}
	}
	return list
}

// drift is what is found of a mount, and what is wanted; the same where all is well.
func (m Mount) drift(seen Seen) (found, wanted string) {
	set, clear := m.flags(), m.Attr.Clear|m.All.Clear
	if m.Type != "bind" {
		clear |= unix.MOUNT_ATTR_RDONLY
	}
	clear &^= set
	here, known := seen.all(m.Destination)
	var device, root string
	if m.Type == "bind" && seen.Source != nil {
		device, root = seen.Source(m.Bind.Source)
	}
	if !known {
		return "", ""
	}
	for _, is := range here {
		if m.fits(is, set, clear) && (root == "" || is.Device == device && is.Root == root) {
			return "", ""
		}
	}
	wanted = m.Type
	for _, w := range watched {
		switch {
		case set&w.flag != 0:
			wanted += " " + w.word
		case clear&w.flag != 0 && w.word == "ro":
			wanted += " rw"
		}
	}
	if len(here) == 0 {
		return "", wanted
	}
	last := here[len(here)-1]
	found = last.Type
	if m.Type == "bind" {
		found = m.Type
	}
	found += " " + flagsOf(last)
	if root != "" && (last.Device != device || last.Root != root) {
		found, wanted = fmt.Sprintf("%s of %s on %s", found, last.Root, last.Device), fmt.Sprintf("%s of %s on %s", wanted, root, device)
	}
	return found, wanted
}

// fits tells whether a mount is one that m may have become.
func (m Mount) fits(is proc.Mount, set, clear uint64) bool {
	for _, w := range watched {
		has := slices.Contains(is.Flags, w.word)
		if set&w.flag != 0 && !has || clear&w.flag != 0 && has {
			return false
		}
	}
	return !slices.Contains(told, m.Type) || len(m.Hierarchies) > 0 || is.Type == m.Type
}

// all are the mounts at a path, the topmost last. A path that leads through symbolic links is followed if it has none by its own name.
func (s Seen) all(path string) (list []proc.Mount, known bool) {
	if list = s.at(path); list != nil || s.At == nil {
		return list, list != nil
	}
	id, known := s.At(path)
	for _, m := range s.Mounts {
		if m.ID == id {
			return s.at(m.Point), true
		}
	}
	return nil, known
}

// at are the mounts at a path by its own name.
func (s Seen) at(path string) (list []proc.Mount) {
	for _, m := range s.Mounts {
		if m.Point == path {
			list = append(list, m)
		}
	}
	return list
}

// top is the topmost mount at a path, by its own name.
func (s Seen) top(path string) (top proc.Mount, ok bool) {
	for _, m := range s.Mounts {
		if m.Point == path {
			top, ok = m, true
		}
	}
	return top, ok
}

// above is the mount that a path is on.
func (s Seen) above(p string) (proc.Mount, bool) {
	for ; ; p = path.Dir(p) {
		if m, ok := s.top(p); ok || p == "/" {
			return m, ok
		}
	}
}

// isKernels tells whether a path is there, in a file system that shows the kernel: of others nobody can tell without waiting for them.
func (s Seen) isKernels(path string) bool {
	m, ok := s.above(path)
	return ok && (m.Type == "proc" || m.Type == "sysfs") && s.Exists != nil && s.Exists(path)
}

// flagsOf are the flags of a mount that are compared.
func flagsOf(m proc.Mount) string {
	words := []string{"rw"}
	for _, w := range watched {
		switch {
		case !slices.Contains(m.Flags, w.word):
		case w.word == "ro":
			words[0] = w.word
		default:
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}
