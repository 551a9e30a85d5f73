package mount

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Device is a device node of the container.
type Device struct {
	Path         string // absolute and clean
	Mode         uint32 // S_IFCHR, S_IFBLK or S_IFIFO with the permissions
	Major, Minor uint32
	UID, GID     uint32 // in a plan ids of the node, in facts those of the container
}

// NewDevice is a device of a manifest: its kind is c, b, u (as c) or p as ls(1) shows it, its mode an octal text.
func NewDevice(at, kind, mode string, major, minor uint64, uid, gid uint32) (Device, error) {
	types := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	permissions, err := strconv.ParseUint(mode, 8, 32)
	switch {
	case !path.IsAbs(at) || path.Clean(at) == "/":
		return Device{}, refuseDevice(at, "the path must be absolute and below /")
	case types[kind] == 0:
		return Device{}, refuseDevice(at, "its type "+strconv.Quote(kind)+" is not c, b or p")
	case err != nil || permissions > 0o777:
		return Device{}, refuseDevice(at, "its mode "+strconv.Quote(mode)+" is not octal")
	case major >= 1<<12 || minor >= 1<<20: // MINORBITS of linux/kdev_t.h
		return Device{}, refuseDevice(at, "no device has such numbers")
	}
	return Device{path.Clean(at), types[kind] | uint32(permissions), uint32(major), uint32(minor), uid, gid}, nil
}

// defaults are the nodes every container has, see Documentation/admin-guide/devices.txt.
var defaults = []Device{
	{Path: devNull, Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3},
	{Path: "/dev/zero", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 5},
	{Path: "/dev/full", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 7},
	{Path: "/dev/random", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 8},
	{Path: "/dev/urandom", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 9},
	{Path: "/dev/tty", Mode: unix.S_IFCHR | 0o666, Major: 5, Minor: 0},
}

const devNull = "/dev/null"

// Link is a symbolic link of /dev.
type Link struct{ Name, Target string }

// Links are the symbolic links of a /dev that is made here, or the rootfs's own.
var Links = []Link{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// points are the directories of /dev that standard mounts go onto.
var points = []string{"pts", "shm", "mqueue"}

// newDevices are the default nodes with those of the manifest over them, which replace one of the same path. A /dev that the
// manifest brings along has its own. The terminals are links and mounts.
func newDevices(said []Device, dev Dev, ids IDMap) ([]Device, error) {
	var list []Device
	if dev != DevForeign {
		list = slices.Clone(defaults)
	}
	for _, d := range said {
		d.Path = path.Clean(d.Path)
		if d.Path == "/dev/ptmx" || d.Path == "/dev/console" || dev == DevForeign && isBelowAny(d.Path, "/dev") {
			continue
		}
		if i := slices.IndexFunc(list, func(o Device) bool { return o.Path == d.Path }); i >= 0 {
			list[i] = d
		} else {
			list = append(list, d)
		}
	}
	for i := range list {
		if err := list[i].shift(ids); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// inDev tells whether a device is a node of a /dev that is made here, and not below another mount there; one may be mounted
// over it. All others are bound.
func (p Plan) inDev(d Device) bool {
	if p.Dev != DevMade || !isBelowAny(path.Dir(d.Path), "/dev") {
		return false
	}
	return !slices.ContainsFunc(p.Mounts, func(m Mount) bool {
		return !m.Devices && isBelowAny(m.Destination, "/dev") && isBelowAny(path.Dir(d.Path), m.Destination)
	})
}

// bound are the devices that are bound, each from a node of a file system that nobody sees.
func (p Plan) bound() (list []Device) {
	for _, d := range p.Devices {
		if !p.inDev(d) {
			list = append(list, d)
		}
	}
	return list
}

// needsNodes tells whether that file system is needed. Masks are bound from a null of their own, where the manifest can
// have something else in the place of the container's.
func (p Plan) needsNodes() bool {
	ownNull := p.Dev == DevMade && !p.Exact && slices.ContainsFunc(p.Devices, func(d Device) bool { return d.Path == devNull && d.isNull() })
	return len(p.bound()) > 0 || len(p.Masked) > 0 && !ownNull
}

// isNull tells whether a device is the null device, whatever its path and permissions.
func (d Device) isNull() bool {
	return d.Mode&unix.S_IFMT == unix.S_IFCHR && d.Major == 1 && d.Minor == 3
}

// nodes makes that file system. It is attached where nobody sees it, because what is detached cannot be cloned.
func (b *builder) nodes(plan Plan) {
	const step = "make device"
	null := Device{Path: devNull, Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}
	null.UID, null.GID = b.uid, b.gid
	bound := append([]Device{null}, plan.bound()...)
	config := []Setting{{"size", "4k"}, {"nr_inodes", strconv.Itoa(len(bound) + 2)}, {"mode", "0700"}}
	b.own = b.make(step, "", "tmpfs", "tmpfs", append(config, plan.context("tmpfs")...), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	for i, d := range bound {
		b.mknod(d, b.own, strconv.Itoa(i))
	}
	b.cover(step, "", b.own)
}

// mknod makes a node. Its name is one in a file system made here.
func (b *builder) mknod(d Device, dir process.Arg, name string) {
	const step = "make device"
	b.Call(step, d.Path, unix.SYS_MKNODAT, dir, process.Str(name), process.Int(d.Mode), process.Int(unix.Mkdev(d.Major, d.Minor)))
	if d.UID != b.uid || d.GID != b.gid {
		b.Call(step, d.Path, unix.SYS_FCHOWNAT, dir, process.Str(name), process.Int(d.UID), process.Int(d.GID), process.Int(unix.AT_SYMLINK_NOFOLLOW))
		b.Call(step, d.Path, unix.SYS_FCHMODAT, dir, process.Str(name), process.Int(d.Mode&0o7777)) // chown(2) clears set-id bits
	}
}

// devices fills a /dev that is not attached yet.
func (b *builder) devices(plan Plan, dev process.Arg) {
	const step = "make device"
	made := slices.Clone(points)
	if plan.Exact {
		made = nil
	}
	for _, dir := range made {
		b.Call(step, "/dev/"+dir, unix.SYS_MKDIRAT, dev, process.Str(dir), process.Int(0o755))
	}
	for _, d := range plan.Devices {
		if !plan.inDev(d) {
			continue
		}
		name := strings.TrimPrefix(d.Path, "/dev/")
		for i := range name {
			if dir := name[:i]; name[i] == '/' && !slices.Contains(made, dir) {
				made = append(made, dir)
				b.Call(step, "/dev/"+dir, unix.SYS_MKDIRAT, dev, process.Str(dir), process.Int(0o755))
			}
		}
		b.mknod(d, dev, name)
	}
	for _, l := range Links {
		b.Call(step, "/dev/"+l.Name, unix.SYS_SYMLINKAT, process.Str(l.Target), dev, process.Str(l.Name))
	}
}

// bindDevices binds the devices that are not in a /dev made here over files that are made for them, so that no node is left
// in a rootfs. A /dev of the rootfs gets the links as well; what is there stays.
func (b *builder) bindDevices(plan Plan) {
	const step = "make device"
	if plan.Dev == DevRootfs {
		dev := b.mountPoint(Mount{Type: "tmpfs", Destination: "/dev", Ordinary: true})
		for _, l := range Links {
			b.Call(step, "/dev/"+l.Name, unix.SYS_SYMLINKAT, process.Str(l.Target), dev, process.Str(l.Name)).Accept = process.Accept(unix.EEXIST)
		}
	}
	for i, d := range plan.bound() {
		point := b.mountPoint(Mount{Type: "bind", Destination: d.Path})
		b.attach(step, d.Path, b.clone(step, d.Path, b.own, strconv.Itoa(i+1), 0), point, "")
	}
}

// shift turns the ids of a device's owner into the node's.
func (d *Device) shift(ids IDMap) error {
	uid, hasUID := ids.UID(d.UID)
	gid, hasGID := ids.GID(d.GID)
	if !hasUID || !hasGID {
		return refuseDevice(d.Path, "its owner is not mapped by the container's user namespace")
	}
	d.UID, d.GID = uid, gid
	return nil
}

func refuseDevice(path, why string) error {
	return fmt.Errorf("cannot make device %q: %s: %w", path, why, fs.ErrInvalid)
}

// MadeInDev tells whether a name in a /dev that is made here is that of something every container finds there.
func MadeInDev(name string) bool {
	return name == "console" || name == "core" || slices.Contains(points, name) ||
		slices.ContainsFunc(Links, func(l Link) bool { return l.Name == name }) ||
		slices.ContainsFunc(defaults, func(d Device) bool { return d.Path == "/dev/"+name })
}
