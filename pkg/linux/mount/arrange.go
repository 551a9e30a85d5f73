package mount

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// arranger puts a container's mounts in order.
type arranger struct {
	c     spec.ContainerSpec
	facts Facts
	exact bool // base None: no mount and no option that is not said
}

// arrange gives the mounts in the order in which they are made.
func (a arranger) arrange() (mounts []Mount, err error) {
	if a.exact {
		mounts, err = a.listed()
	} else {
		mounts, err = a.standard()
	}
	if err != nil {
		return nil, err
	}
	return append(mounts, a.injected(mounts)...), nil
}

// standard puts the manifest's mounts and the standard ones in order: first those elsewhere, then proc, sys and dev over
// anything that went astray onto them, then those below them.
func (a arranger) standard() ([]Mount, error) {
	base := make([]Mount, len(standard))
	for i, s := range standard {
		var err error
		if base[i], err = a.newMount(s, -1); err != nil {
			return nil, err
		}
	}
	var elsewhere, below []Mount
	for i, s := range a.c.Mounts {
		at := slices.IndexFunc(standard, func(d spec.Mount) bool { return d.Destination == path.Clean(s.Destination) })
		if at >= 0 && kinds[standard[at].Type].Type == kinds[s.Type].Type {
			s.Options = slices.Concat(standard[at].Options, s.Options)
		}
		m, err := a.newMount(s, i)
		if err != nil {
			return nil, err
		}
		switch {
		case at >= 0:
			base[at] = m
		case isBelowAny(m.Destination, bases...):
			below = append(below, m)
		default:
			elsewhere = append(elsewhere, m)
		}
	}
	return slices.Concat(elsewhere, base, below), nil
}

// listed keeps the manifest's own order. What is mounted on proc is covered meanwhile, and what goes below it is attached last: nothing that a
// link of the image led astray can then lie over a file of proc.
func (a arranger) listed() (mounts []Mount, err error) {
	proc := -1
	for i, s := range a.c.Mounts {
		m, err := a.newMount(s, i)
		if err != nil {
			return nil, err
		}
		switch isProc := isBelowAny(m.Destination, "/proc"); {
		case isProc && m.Destination == "/proc" && proc < 0 && !m.Remount:
			proc = i
		case isProc:
			m.Last = true
		case proc >= 0:
			mounts[proc].Covered = true
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// newMount turns one mount of a manifest, at index i of its list, into a row of the plan.
func (a arranger) newMount(s spec.Mount, i int) (Mount, error) {
	m, ok := newKind(s.Type, a.exact)
	if !ok {
		return Mount{}, refuse(s, "unknown type")
	}
	m.Destination = path.Clean(s.Destination)
	for _, word := range s.Options {
		if err := m.apply(word, a.exact); err != nil {
			return Mount{}, refuse(s, err.Error())
		}
	}
	if why := a.misplaced(s, m); why != "" {
		return Mount{}, refuse(s, why)
	}
	m.Ordinary = slices.Contains(bases, m.Destination)
	m.Devices = m.Destination == "/dev" && m.Type == spec.MountTmpfs && !m.Remount
	if m.Name = m.Type; a.exact && s.Source != "" || slices.Contains(spec.DeviceTypes, s.Type) {
		m.Name = s.Source
	}
	if err := m.shift(a.facts.IDs); err != nil {
		return Mount{}, refuse(s, err.Error())
	}
	if err := a.finish(&m, s, i); err != nil {
		return Mount{}, err
	}
	return m, nil
}

// finish decides what depends on several words, or on facts.
func (a arranger) finish(m *Mount, s spec.Mount, i int) error {
	switch {
	case m.Remount && m.Legacy != 0:
		return refuse(s, "these options can be said only where the mount is made")
	case m.Remount:
		return nil
	case m.Type == spec.MountBind:
		return a.finishBind(m, s, i)
	case m.kind == spec.MountCgroup && a.exact && len(a.facts.Hierarchies) > 0:
		a.hierarchies(m)
		return nil
	case m.Type == spec.MountCgroup2 && a.c.Namespaces.Cgroup == spec.NamespaceHost:
		return a.nodeCgroups(m, s, i)
	case m.CopyUp && m.Legacy != 0:
		return refuse(s, "tmpcopyup cannot be combined with silent, iversion or acl")
	case m.CopyUp && !says(s.Options, "mode="): // the directory's own
		m.drop("mode")
		m.File = fmt.Sprint("made", i)
		return nil
	case m.CopyUp || m.Legacy == 0 && !slices.Contains(inChild, m.Type):
		m.File = fmt.Sprint("made", i)
	}
	if ipc := a.c.Namespaces.IPC; m.Type != spec.MountMqueue || ipc == "" || ipc == spec.NamespacePrivate { // another one is not the container's
		m.Give = give[m.Type]
	}
	if m.Type == spec.MountTmpfs && a.exact && !m.says("mode") { // as under a directory of the rootfs, like other runtimes
		if mode := a.facts.mode(i); mode != 0 {
			m.set("mode", fmt.Sprintf("%#o", mode))
		}
	}
	return nil
}

// finishBind completes a bind mount. Unless the base is None, its flags hold for all that is mounted below its source.
func (a arranger) finishBind(m *Mount, s spec.Mount, i int) error {
	m.File = fmt.Sprint("bind", i)
	m.Bind.Source = s.Source
	m.Bind.Directory = i < len(a.facts.Directories) && a.facts.Directories[i]
	m.Bind.Proc = m.Destination == "/proc"
	m.Bind.IDs = IDMap{s.UIDMappings, s.GIDMappings}
	if !a.exact && m.Bind.Recursive {
		m.All, m.Attr = Attr{m.flags(), m.Attr.Clear&^m.All.Set | m.All.Clear}, Attr{}
	}
	if a.exact {
		m.Bind.Before = bindPropagation(a.c.Rootfs.Propagation, m.Propagation)
	}
	switch {
	case m.Bind.IDMap == mapNone && !m.Bind.IDs.IsZero():
		return refuse(s, "uidMappings and gidMappings need the option idmap or ridmap")
	case (len(s.UIDMappings) == 0) != (len(s.GIDMappings) == 0):
		return refuse(s, "uidMappings and gidMappings come together")
	case m.Bind.IDMap != mapNone && m.Bind.IDs.IsZero() && a.facts.IDs.IsZero():
		return refuse(s, "idmap needs uidMappings and gidMappings, or a user namespace of the container")
	}
	return nil
}

// bindPropagation is what a bind mount with base None begins with: mounts come in from the node, unless the rootfs's propagation keeps them out. They
// go out to the node when rootfs and mount both say shared.
func bindPropagation(root spec.Propagation, said Propagation) Propagation {
	switch flag := propagations[string(root)].Flag; {
	case flag == unix.MS_PRIVATE, flag == unix.MS_UNBINDABLE:
		return Propagation{unix.MS_PRIVATE, true}
	case flag == unix.MS_SHARED && said.Flag == unix.MS_SHARED:
		return Propagation{}
	}
	return Propagation{unix.MS_SLAVE, true}
}

// injected are the binds of the node's files that the manifest leaves room for: what it mounts there itself stays.
func (a arranger) injected(mounts []Mount) (list []Mount) {
	for i, in := range a.facts.Injected {
		taken := slices.ContainsFunc(mounts, func(m Mount) bool { return isBelowAny(in.Destination, m.Destination) })
		if taken || in.missing {
			continue
		}
		m := Mount{Type: "bind", Destination: in.Destination, File: fmt.Sprint("injected", i), Propagation: Propagation{unix.MS_PRIVATE, true}}
		m.Bind.Source = in.Source
		if in.resolved != "" {
			m.Destination = in.resolved
		}
		m.Attr.Set = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
		if in.ReadOnly {
			m.Attr.Set |= readonly
		}
		list = append(list, m)
	}
	return list
}

// flags are the flags of a mount that is made: what is said of all that is below it as well comes last.
func (m *Mount) flags() uint64 { return m.Attr.Set&^m.All.Clear | m.All.Set }

// says tells whether one of the options begins with a text.
func says(options []string, text string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, text) })
}

// says tells whether a file system has a setting.
func (m *Mount) says(key string) bool {
	return slices.ContainsFunc(m.Config, func(s Setting) bool { return s.Key == key })
}

// misplaced says why a mount cannot be at its destination; "" if it can.
func (a arranger) misplaced(s spec.Mount, m Mount) string {
	want, hasPath := fixed[m.Destination], path.IsAbs(s.Source)
	isBind, onDevice := m.Type == spec.MountBind, slices.Contains(spec.DeviceTypes, s.Type)
	switch {
	case !path.IsAbs(m.Destination) || m.Destination == "/":
		return "the destination must be an absolute path below /"
	case m.Remount:
		return ""
	case isBind && !hasPath, !isBind && !onDevice && hasPath && !a.exact:
		return "a bind mount, and no other, has an absolute source"
	case onDevice && !hasPath:
		return "its source must be the absolute path of a device"
	case a.exact && m.Destination == "/proc" && !isBind && m.Type != spec.MountProc:
		return "only proc is mounted there"
	case m.Destination != "/proc" && isBelowAny(m.Destination, "/proc") && !slices.Contains(overProc(a.exact), m.Destination):
		return "below /proc only these can be mounted over: " + strings.Join(overProc(a.exact), ", ")
	case a.exact:
		return ""
	case want != "" && want != s.Type:
		return "only " + want + " is mounted there"
	case want != s.Type && (s.Type == spec.MountProc || s.Type == spec.MountSysfs):
		return "it would show there what is masked in the one place it belongs to"
	}
	return ""
}

// overProc are the files of proc that a mount may go over, as lxcfs has them. Anything else could stand in for a file that
// this or a later program trusts.
func overProc(exact bool) []string {
	if exact {
		return spec.OverProc
	}
	return slices.DeleteFunc(slices.Clone(spec.OverProc), func(p string) bool { return isBelowAny(p, "/proc/sys") })
}

func refuse(s spec.Mount, why string) error {
	return fmt.Errorf("cannot mount %s at %q: %s: %w", s.Type, s.Destination, why, fs.ErrInvalid)
}

// isBelowAny tells whether the clean path p is one of dirs or below one.
func isBelowAny(p string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") })
}
