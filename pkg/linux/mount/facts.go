package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Facts are what a plan needs to know besides the manifest. The first ones are the caller's to say, the others are found
// by Look.
type Facts struct {
	// Layer is the directory made by PrepareLayer, "" for a layer that lives from Start to exit.
	Layer string
	// IDs are the ids of the container's user namespace, zero for none.
	IDs IDMap
	// Cgroup is the path of the container's cgroup below the roots of the node's hierarchies: /reconciler/web/1. With base
	// None and a mount of type cgroup, the hierarchies of version 1 that have it are shown; "" shows all, read-only.
	Cgroup string
	// Tunes lets the container set the parameters of a network that it joins: whoever made that leaves them to it, as engines do.
	Tunes bool
	// Injected are files of the node to be shown in the container: /etc/hosts and the like.
	Injected []Injected
	// Devices are nodes beside the default ones; their owners are ids of the container.
	Devices []Device

	// Owner is that of the rootfs's root directory.
	Owner Owner
	// Missing are the mount points that a read-only rootfs lacks.
	Missing []string
	// Directories tells, by index of the manifest's mounts, whether a bind's source is a directory.
	Directories []bool
	// Modes are, by the same index, the modes of the rootfs's directories below tmpfs mounts, 0 where there is none.
	Modes []uint32
	// Hierarchies are the node's control groups of version 1, Unified is where it has those of version 2.
	Hierarchies []Hierarchy
	Unified     string
}

// Injected is a file of the node to be bound over one of the container. Where the rootfs has no directory for it, or the
// manifest mounts something else, it is left out.
type Injected struct {
	Destination string // absolute: /etc/resolv.conf
	Source      string // the path on the node
	ReadOnly    bool   // for the container; else what it writes is in the node's file

	resolved string // Destination without symbolic links
	missing  bool   // there is no directory for it
}

// Look completes the facts for one start of a container. A rootfs where /proc, /sys or /dev is not an ordinary directory is
// fs.ErrInvalid; a missing rootfs or bind source is fs.ErrNotExist.
func Look(c spec.Container, facts Facts) (Facts, error) {
	root, err := rootfs.Open(c.Spec.Rootfs.Path)
	if err != nil {
		return Facts{}, fmt.Errorf("%w\nhint: rootfs.path is a directory of this node: make it, or correct the path", err)
	}
	defer root.Close()
	if facts.Owner, err = owner(root); err != nil {
		return Facts{}, err
	}
	exact := c.Spec.Base == spec.BaseNone
	for _, dir := range bases {
		if exact && dir != "/dev" && !isMounted(c.Spec.Mounts, dir) {
			continue
		}
		if err := root.Ordinary(dir); err != nil {
			return Facts{}, err
		}
	}
	if facts.Injected, err = lookInjected(root, facts.Injected); err != nil {
		return Facts{}, err
	}
	if facts.Directories, err = directories(c.Spec.Mounts); err != nil {
		return Facts{}, err
	}
	if exact {
		if facts.Modes, err = modes(root, c.Spec.Mounts); err != nil {
			return Facts{}, err
		}
	}
	if slices.ContainsFunc(c.Spec.Mounts, func(m spec.Mount) bool { return m.Type == spec.MountCgroup || m.Type == spec.MountCgroup2 }) ||
		!exact && c.Spec.Namespaces.Cgroup == spec.NamespaceHost {
		if facts.Hierarchies, facts.Unified, err = hierarchies(facts.Cgroup); err != nil {
			return Facts{}, err
		}
	}
	if c.Spec.Rootfs.ReadOnly && c.Spec.Rootfs.Writable.Medium != spec.MediumDirect {
		facts.Missing, err = missing(root, c.Spec, facts)
	}
	return facts, err
}

// missing are the mount points that a read-only rootfs lacks: of mounts that are not inside another one, of devices outside
// a /dev made here, and always those of a /dev that is the rootfs's own, which gets links as well.
func missing(root *rootfs.Root, c spec.ContainerSpec, facts Facts) ([]string, error) {
	var points []string
	mounts, always := c.Mounts, []string(nil)
	if c.Base != spec.BaseNone {
		mounts = slices.Concat(standard, mounts)
	} else if !isMounted(mounts, "/dev") {
		always = []string{"/dev"}
	}
	add := func(p string) {
		if !isBelowAny(p, points...) {
			points = append(points, p)
		}
	}
	for _, m := range mounts {
		add(path.Clean(m.Destination))
	}
	for _, in := range facts.Injected {
		if !in.missing {
			add(in.Destination)
		}
	}
	for _, d := range facts.Devices {
		add(d.Path)
	}
	lacking, err := root.Missing(points)
	return append(always, lacking...), err
}

// isMounted tells whether one of the mounts is at a destination.
func isMounted(mounts []spec.Mount, destination string) bool {
	return slices.ContainsFunc(mounts, func(m spec.Mount) bool { return path.Clean(m.Destination) == destination })
}

// lookInjected finds out where injected files would appear: rootfs images have /etc/resolv.conf as a symbolic link to
// something that only a running system makes.
func lookInjected(root *rootfs.Root, injected []Injected) ([]Injected, error) {
	list := slices.Clone(injected)
	for i := range list {
		in := &list[i]
		in.Destination = path.Clean(in.Destination)
		dir, _, err := root.Directory(path.Dir(in.Destination))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			in.missing = true
			continue
		case err != nil:
			return nil, err
		}
		dir.Close()
		if in.resolved, err = root.Resolve(in.Destination); err != nil {
			return nil, err
		}
		if isBelowAny(in.resolved, bases...) { // an image that asks for it can have its own file
			in.missing = true
		}
	}
	return list, nil
}

// directories looks at the sources of the bind mounts.
func directories(mounts []spec.Mount) ([]bool, error) {
	are := make([]bool, len(mounts))
	for i, m := range mounts {
		if m.Type != spec.MountBind || slices.Contains(m.Options, spec.RemountFlag) {
			continue
		}
		info, err := os.Stat(m.Source)
		if err != nil {
			return nil, fmt.Errorf("cannot bind to %q: %w", m.Destination, err)
		}
		are[i] = info.IsDir()
	}
	return are, nil
}

// modes looks at the rootfs's directories below the tmpfs mounts.
func modes(root *rootfs.Root, mounts []spec.Mount) ([]uint32, error) {
	are := make([]uint32, len(mounts))
	for i, m := range mounts {
		if m.Type != spec.MountTmpfs {
			continue
		}
		dir, st, err := root.Directory(m.Destination)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			continue // the child makes it, or says what is wrong
		case err != nil:
			return nil, err
		}
		dir.Close()
		are[i] = st.Mode & 0o7777
	}
	return are, nil
}

// mode is the mode of the rootfs's directory below the tmpfs mount at index i, 0 if there is none.
func (f Facts) mode(i int) uint32 {
	if i < 0 || i >= len(f.Modes) {
		return 0
	}
	return f.Modes[i]
}
