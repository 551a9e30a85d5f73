package mount

import (
	"path"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Plan is a container's file system tree as a value.
type Plan struct {
	Root Root
	// Mounts are made in this order.
	Mounts []Mount
	// Exact is base None: nothing beside what is said.
	Exact bool
	// Devices are the nodes of /dev, and others.
	Devices []Device
	// Dev says where /dev comes from.
	Dev Dev
	// Terminal mounts the console's devpts at /dev/pts, and shows its terminal as /dev/console.
	Terminal bool
	// Sysctls are written in this order.
	Sysctls []Sysctl
	// Masked are hidden, then Readonly are made read-only; those that do not exist are left out by the child.
	Masked, Readonly []string
	// WorkingDir is entered last. It must exist, but in a Direct root with base None, where it is made.
	WorkingDir string
	// IDs are those of the container's user namespace: what the tree is made of belongs to its superuser. The zero value
	// is the node's own ids.
	IDs IDMap
	// Label is the SELinux context of the file systems made here, "" for none.
	Label string
	// Memory is the container's memory.max, which bounds what CopyUp copies; 0 for none.
	Memory uint64
	// Stage is the directory of the node where the root is put together before it becomes the root; "" for one that every node has.
	Stage string
	// Chroot is the other way of changing the root, nil for pivot_root(2).
	Chroot *Chroot
}

// Root is the root file system: the directory Path itself, read-only or (Direct) as it is, or an overlay with Path as its
// lower layer.
type Root struct {
	Path    string
	Overlay bool
	// Direct is the directory tree itself, for writing, with what is mounted below it on the node.
	Direct bool
	// Layer is the directory made by PrepareLayer; "" with an overlay is a tmpfs of Size bytes, for this start only.
	Layer string
	Size  uint64
	// Owner is what the root directory of a new layer looks like.
	Owner Owner
	// ReadOnly makes the root read-only once the mount points are there.
	ReadOnly bool
	// Devices lets device nodes in the rootfs work.
	Devices bool
	// XIno gives all files of an overlay numbers of one device, as it is with directories: who takes an image of the container can find by its number what it watches.
	XIno bool
	// IDMapped shows the files' ids, and those of a layer that is kept, as ids of the user namespace.
	IDMapped bool
	// Propagation is that of the clone of a Direct root, Inside what the root gets once it is the root.
	Propagation, Inside Propagation
}

// Owner is the mode and owner of a root directory.
type Owner struct{ Mode, UID, GID uint32 }

// Mount is one mount inside the container.
type Mount struct {
	Type        string // bind, or a file system type of the kernel
	Destination string // absolute and clean
	// Name is what mountinfo shows as the source of a file system.
	Name   string
	Config []Setting
	// Legacy are MS_* flags of mount(2) that newer calls do not have.
	Legacy uint64
	// Attr are the flags of the mount itself; All those of what is below it as well.
	Attr, All   Attr
	Propagation Propagation
	Bind        Bind
	// File names the mount in Files, if it is made beforehand.
	File string
	// Give are files of the new file system that are given to the superuser of a user namespace, "" for its root: those that
	// the kernel makes as the node's own.
	Give []string
	// CopyUp fills a tmpfs with what the rootfs has there.
	CopyUp bool
	// Hierarchies are mounted below, on directories of their names: the control groups of version 1.
	Hierarchies []Hierarchy
	// Remount changes the mount that is there already.
	Remount bool
	// Ordinary demands a destination reached without symbolic links and, but for a Direct root, without crossing a mount.
	Ordinary bool
	// Devices fills the file system with the default devices and links before it is mounted.
	Devices bool
	// Covered hides it until all mounts are in their places, Last is put in its place only then: nothing that a link of the image led
	// astray lies over them.
	Covered, Last bool

	kind string // as in the manifest
}

// Bind is the source of a bind mount.
type Bind struct {
	Source    string // the path on the node
	Directory bool
	Recursive bool
	IDMap     mapping
	IDs       IDMap // the zero value with IDMap is the container's own user namespace
	// Proc demands a proc file system.
	Proc bool
	// Before is the propagation before the mount's own is set.
	Before Propagation
}

// mapping says which mounts of a bind are id-mapped.
type mapping int

const (
	mapNone mapping = iota
	mapOne
	mapAll
)

// Setting is one option of a file system: key=value, or the bare word key if value is "".
type Setting struct{ Key, Value string }

// Dev says where a container's /dev comes from.
type Dev int

// The origins of /dev: a file system made here, with devices and links; the rootfs, whose directory gets them; or a mount of the
// manifest, which is left as it is.
const (
	DevMade Dev = iota
	DevRootfs
	DevForeign
)

// NewPlan makes the plan of a defaulted container. Errors are fs.ErrInvalid: the manifest must change.
func NewPlan(c spec.Container, facts Facts) (Plan, error) {
	a := arranger{c: c.Spec, facts: facts, exact: c.Spec.Base == spec.BaseNone}
	if _, _, err := facts.IDs.root(); err != nil {
		return Plan{}, err
	}
	mounts, err := a.arrange()
	if err != nil {
		return Plan{}, err
	}
	sysctls, err := newSysctls(c.Spec.Sysctls, c.Spec.Network.Mode, facts.Tunes)
	if err != nil {
		return Plan{}, err
	}
	for i, s := range sysctls {
		if sysctls[i], err = s.shift(facts.IDs); err != nil {
			return Plan{}, err
		}
	}
	root, err := newRoot(c.Spec, facts)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		Root:       root,
		Exact:      a.exact,
		Mounts:     mounts,
		Dev:        devOf(mounts),
		Terminal:   c.Spec.TTY,
		Sysctls:    sysctls,
		Masked:     cleanPaths(c.Spec.Security.MaskedPaths, spec.DefaultMaskedPaths),
		Readonly:   cleanPaths(c.Spec.Security.ReadonlyPaths, spec.DefaultReadonlyPaths),
		WorkingDir: path.Join("/", c.Spec.WorkingDir),
		IDs:        facts.IDs,
		Label:      c.Spec.Security.SELinux.MountLabel,
	}
	if most := c.Spec.Resources.Memory.Max; !most.IsZero() && !most.IsMax() {
		p.Memory = most.Value()
	}
	p.Devices, err = newDevices(facts.Devices, p.Dev, facts.IDs)
	return p, err
}

// newRoot chooses how the root is made. A read-only rootfs that lacks mount points gets them in a layer of its own, unless
// writes may go into it: then they are made there.
func newRoot(c spec.ContainerSpec, facts Facts) (Root, error) {
	r, exact := c.Rootfs, c.Base == spec.BaseNone
	root := Root{Path: r.Path, Owner: facts.Owner, Devices: exact, IDMapped: !exact && !facts.IDs.IsZero()}
	propagate(&root, r.Propagation, exact)
	root.XIno = c.Checkpoints()
	switch {
	case r.Writable.Medium == spec.MediumDirect:
		root.Direct, root.ReadOnly, root.Owner = true, r.ReadOnly, Owner{}
		return root, nil
	case r.ReadOnly && len(facts.Missing) == 0:
		return root, nil
	case r.ReadOnly:
		root.Overlay, root.ReadOnly, root.Size = true, true, pointSize
	default:
		root.Overlay, root.Layer = true, facts.Layer
		if root.Layer == "" {
			root.Size = max(uint64(r.Writable.Size), pointSize)
		}
	}
	if root.IDMapped && root.Layer == "" { // holds ids of the node
		uid, gid, err := facts.IDs.root()
		if err != nil {
			return root, err
		}
		if id, ok := facts.IDs.UID(root.Owner.UID); ok {
			uid = id
		}
		if id, ok := facts.IDs.GID(root.Owner.GID); ok {
			gid = id
		}
		root.Owner.UID, root.Owner.GID = uid, gid
	}
	return root, nil
}

// propagate says how mounts pass to and from the root. What is mounted on the node below a Direct root may come in; what
// is mounted inside never goes out: shared means the container's own namespaces. The kernel changes no root that is shared
// (pivot_root(2)), so that comes last.
func propagate(root *Root, said spec.Propagation, exact bool) {
	if said == "" && exact {
		said = spec.PropagationRSlave
	}
	p := propagations[string(said)]
	switch p.Flag {
	case unix.MS_SLAVE:
		root.Propagation = p
	case unix.MS_SHARED:
		root.Propagation, root.Inside = Propagation{unix.MS_SLAVE, true}, p
	case unix.MS_UNBINDABLE:
		root.Propagation, root.Inside = Propagation{unix.MS_PRIVATE, true}, p
	default:
		root.Propagation = Propagation{unix.MS_PRIVATE, true}
	}
}

// devOf finds out where /dev comes from.
func devOf(mounts []Mount) Dev {
	dev := DevRootfs
	for _, m := range mounts {
		switch {
		case m.Destination != "/dev" || m.Remount:
		case m.Devices:
			dev = DevMade
		default:
			dev = DevForeign
		}
	}
	return dev
}

// cleanPaths is the list that was said, made absolute and clean, or the default.
func cleanPaths(said *[]string, otherwise []string) []string {
	if said == nil {
		return otherwise
	}
	var paths []string
	for _, p := range *said {
		paths = append(paths, path.Join("/", p))
	}
	return paths
}
