package mount

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// usualOps is room for the ops of a container with a few mounts, so that they are not copied again and again.
const usualOps = 256

// Append adds the ops that build the tree of plan and move into it: afterwards / is the container's root, the working
// directory is entered, nothing of the node's tree is left, and the umask is 0. They need CAP_SYS_ADMIN, CAP_MKNOD,
// a new mount namespace, and come after the ops of package namespace. The files they name come from plan.Open, and with a
// Terminal from NewConsole.
//
// A user namespace is entered later: the tree is built with the node's privileges and the user ids of the container.
func Append(p *process.Program, plan Plan) { AppendAround(p, plan, nil) }

// AppendAround is Append with something, unless it is nil, that comes when the tree is complete at the stage and / is still the node's.
func AppendAround(p *process.Program, plan Plan, built func(*process.Program)) {
	b := build(p, plan)
	if built != nil {
		built(p)
	}
	if plan.Chroot != nil {
		b.chroot(*plan.Chroot)
	} else {
		b.pivot()
	}
	EnterDir(p, plan.WorkingDir)
	b.giveIDs(plan.IDs)
	if plan.IDs.IsZero() {
		AppendPropagation(p, plan)
	}
}

// AppendStage adds the ops that build the tree of plan at its Stage, which must be a directory, and leave it there, for who puts a container's
// processes into it by other means. / stays the node's, and the umask is 0.
func AppendStage(p *process.Program, plan Plan) {
	build(p, plan).giveIDs(plan.IDs)
}

// build builds the tree at the stage.
func build(p *process.Program, plan Plan) *builder {
	p.Ops = slices.Grow(p.Ops, usualOps)
	b := &builder{Program: p, ordinary: ordinary, stage: cmp.Or(plan.Stage, defaultStage)}
	if plan.Root.Direct { // what is mounted below it on the node is part of it
		b.ordinary = straight
	}
	b.Call("make mounts private", "/", unix.SYS_MOUNT, process.Str("none"), process.Str("/"), process.Int(0), process.Int(unix.MS_REC|unix.MS_PRIVATE))
	b.Call("clear umask", "", unix.SYS_UMASK, process.Int(0))
	b.takeIDs(plan.IDs)
	b.hidden(plan)
	b.enterRoot(plan)
	if !slices.ContainsFunc(plan.Mounts, func(m Mount) bool { return m.Type == "proc" && m.File == "" }) && len(plan.Sysctls) > 0 {
		b.sysctls(plan.Sysctls, b.make("set sysctl", "", "proc", "proc", nil, quiet))
	}
	b.mounts(plan)
	b.bindDevices(plan)
	b.console(plan)
	for _, path := range plan.Masked {
		b.mask(path)
	}
	for _, path := range plan.Readonly {
		b.readonly(path)
	}
	if plan.Exact && plan.Root.Direct && plan.WorkingDir != "/" {
		b.point("working directory", Mount{Destination: plan.WorkingDir})
	}
	for _, l := range b.late {
		b.restrict(l.step, l.shown, l.mount, 0)
	}
	if plan.Root.ReadOnly {
		b.restrict("make root read-only", "/", b.root, 0)
	}
	return b
}

// AppendPropagation adds the op that says how mounts pass from the container's root to other namespaces. It is the last of
// Append, but for a container with a user namespace: that gets its mounts anew, when it unshares the mount namespace again
// inside, and the op belongs after that. None of them is shared then (mount_namespaces(7)), so those that are to be become it again.
func AppendPropagation(p *process.Program, plan Plan) {
	if !plan.IDs.IsZero() && plan.shares() {
		shareAgain(p, plan.Mounts)
	}
	inside := plan.Root.Inside
	if inside.Flag == 0 {
		return
	}
	flags := inside.Flag
	if inside.Recursive {
		flags |= unix.MS_REC
	}
	p.Call("set propagation", "/", unix.SYS_MOUNT, process.Str("none"), process.Str("/"), process.Int(0), process.Int(flags))
}

// shareAgain adds the ops that give mounts their propagation, by their places: a place that another mount covers, or an image leads elsewhere, is
// still one of the container's own namespace, or is refused.
func shareAgain(p *process.Program, mounts []Mount) {
	for i, said := range inherited(mounts) {
		flags := said.Flag
		if flags == 0 {
			continue
		}
		if said.Recursive {
			flags |= unix.MS_REC
		}
		p.Call("set propagation", mounts[i].Destination, unix.SYS_MOUNT, process.Str("none"), process.Str(mounts[i].Destination), process.Int(0), process.Int(flags)).
			Accept = process.Accept(unix.EINVAL, unix.ENOENT, unix.ENOTDIR, unix.ELOOP)
	}
}

// inherited is the propagation of each mount: what it says, or that of the shared mount which it was attached below with all that is in it. What was
// attached below a new file system that is shared is so too, masks among it, unless it says something else.
func inherited(mounts []Mount) []Propagation {
	all := make([]Propagation, len(mounts))
	for i, m := range mounts {
		all[i] = m.Propagation
		if m.Type != "bind" {
			all[i].Recursive = m.Propagation.Flag == unix.MS_SHARED || len(m.Hierarchies) > 0
		}
		if m.Propagation.Flag != 0 {
			continue
		}
		above := -1
		for j, other := range mounts[:i] {
			if isBelowAny(m.Destination, other.Destination) && (above < 0 || len(other.Destination) >= len(mounts[above].Destination)) {
				above = j
			}
		}
		if above >= 0 && all[above].Flag == unix.MS_SHARED {
			all[i] = Propagation{unix.MS_SHARED, true}
		}
	}
	return all
}

// takeIDs makes what the child makes belong to the container's superuser, by the ids that file systems look at. The privileges
// stay, which otherwise go with user id 0: see setfsuid(2) and SECBIT_NO_SETUID_FIXUP of capabilities(7).
func (b *builder) takeIDs(ids IDMap) {
	if ids.IsZero() {
		return
	}
	b.uid, b.gid, _ = ids.root() // NewPlan has asked
	b.setIDs(noSetuidFixup, b.uid, b.gid)
}

// giveIDs undoes takeIDs.
func (b *builder) giveIDs(ids IDMap) {
	if !ids.IsZero() {
		b.setIDs(0, 0, 0)
	}
}

// effective changes the effective user id alone; capabilities stay as they do with takeIDs.
func (b *builder) effective(uid uint32) {
	const step, same = "set effective user", -1
	b.Call(step, "", unix.SYS_SETRESUID, process.Int(same), process.Int(uid), process.Int(same))
	b.Call(step, "", unix.SYS_SETFSUID, process.Int(b.uid))
}

const noSetuidFixup = 1 << 2 // SECBIT_NO_SETUID_FIXUP of linux/securebits.h

func (b *builder) setIDs(securebits int, uid, gid uint32) {
	const step = "set file system ids"
	bits := func() {
		b.Prctl(step, "", unix.PR_SET_SECUREBITS, uint64(securebits))
	}
	if securebits != 0 {
		bits()
	}
	b.Call(step, "", unix.SYS_SETFSGID, process.Int(gid))
	b.Call(step, "", unix.SYS_SETFSUID, process.Int(uid))
	if securebits == 0 {
		bits()
	}
}

// hidden makes what is bound from but never seen, and attaches it where the root will cover it: only what is attached can
// be cloned.
func (b *builder) hidden(plan Plan) {
	if len(plan.Masked) > 0 || plan.covers() {
		config := append([]Setting{{"nr_blocks", "1"}, {"nr_inodes", "1"}, {"mode", "0555"}}, plan.context("tmpfs")...)
		b.nothing = b.make("make empty mask", "", "tmpfs", "tmpfs", config, quiet|readonly)
		b.cover("make empty mask", "", b.nothing)
	}
	if plan.needsNodes() {
		b.nodes(plan)
		b.null = node{b.own, "0"}
	}
	if _, ok := plan.consoleMount(); plan.Terminal && !ok {
		b.pts = b.File(FileConsole)
		b.cover("mount console", "", b.pts)
	}
}

// enterRoot attaches the root file system over the stage. All of an overlay's layers are directories of the layer's
// mount, named relative to the working directory, so no path needs the overlay's quoting of ":" and ",".
// See Documentation/filesystems/overlayfs.rst; index=off lets a restart begin while the last mount of the layer still goes.
func (b *builder) enterRoot(plan Plan) {
	const step = "mount root"
	r, lower := plan.Root, b.File(FileRootfs)
	if !r.Overlay {
		b.cover(step, r.Path, lower)
		b.root = lower
		return
	}
	layer := b.File(FileLayer)
	b.cover(step, r.Path, layer)
	b.attach(step, r.Path, lower, layer, dirLower)
	b.Call(step, r.Path, unix.SYS_FCHDIR, layer)
	config := append([]Setting{{"lowerdir", dirLower}, {"upperdir", dirUpper}, {"workdir", dirWork}, {"index", "off"}}, plan.context("overlay")...)
	if r.XIno {
		config = append(config, Setting{"xino", "on"})
	}
	attr := uint64(unix.MOUNT_ATTR_NODEV)
	if r.Devices {
		attr = 0
	}
	b.root = b.make(step, r.Path, "overlay", "overlay", config, attr)
	b.cover(step, r.Path, b.root)
}

// mounts makes all mounts of the plan.
func (b *builder) mounts(plan Plan) {
	var last []func()
	for _, m := range plan.Mounts {
		attach := b.mount(m, &plan)
		if m.Last {
			last = append(last, attach)
			continue
		}
		attach()
	}
	if plan.covers() {
		b.uncover(len(plan.Mounts))
	}
	for _, attach := range last {
		attach()
	}
}

// mount makes one mount of the plan, and gives what puts it in its place. What comes as a file is detached, with its flags set. A tmpfs becomes
// read-only last, because others may go onto directories in it.
func (b *builder) mount(m Mount, plan *Plan) (attach func()) {
	if m.Remount {
		return func() { b.remount(m) }
	}
	step, shown := "mount "+m.Type, m.Destination
	made := b.made(step, m, plan)
	if m.Type == "proc" && m.File == "" {
		b.sysctls(plan.Sysctls, made)
		plan.Sysctls = nil
	}
	if m.Devices {
		b.devices(*plan, made)
		b.dev = made
		if b.null.name == "" {
			b.null = node{made, "null"}
		}
	}
	return func() {
		b.attach(step, shown, made, b.mountPoint(m), "")
		if plan.shares() { // what is attached below a shared mount is shared from then on, whatever it was
			b.propagate(step, shown, made, m.Propagation)
		}
		if m.Covered {
			b.covered = b.clone("cover proc", shown, b.nothing, "", 0)
			b.attach("cover proc", shown, b.covered, made, "")
		}
		for _, h := range m.Hierarchies {
			b.hierarchy(m, h, made)
		}
		if m.isTmpfs() && m.flags()&readonly != 0 {
			b.late = append(b.late, locked{step, shown, made})
		}
	}
}

// uncover takes away what covers proc, and whatever a link has led onto that: at most so many mounts. umount(2) of a working directory takes the
// topmost mount on it, and is EINVAL once that itself is gone.
func (b *builder) uncover(most int) {
	const step = "uncover proc"
	b.Call(step, "", unix.SYS_FCHDIR, b.covered)
	for range most {
		b.Call(step, "", unix.SYS_UMOUNT2, process.Str("."), process.Int(unix.MNT_DETACH)).Accept = process.Accept(unix.EINVAL)
	}
}

// covers tells whether a mount is covered meanwhile.
func (p *Plan) covers() bool {
	return slices.ContainsFunc(p.Mounts, func(m Mount) bool { return m.Covered })
}

// shares tells whether there are shared mounts.
func (p *Plan) shares() bool {
	return slices.ContainsFunc(p.Mounts, func(m Mount) bool { return m.Propagation.Flag == unix.MS_SHARED })
}

// isTmpfs tells whether a mount is a tmpfs, as the directory of the hierarchies is.
func (m Mount) isTmpfs() bool { return m.Type == "tmpfs" || m.Type == "cgroup" }

// made gives the detached mount.
func (b *builder) made(step string, m Mount, plan *Plan) process.Arg {
	shown, attr := m.Destination, m.flags()
	if m.isTmpfs() {
		attr &^= readonly
	}
	fstype := m.Type
	if fstype == "cgroup" {
		fstype = "tmpfs"
	}
	var made process.Arg
	switch {
	case m.File != "":
		return b.File(m.File)
	case plan.Terminal && m.isConsole():
		b.pts = b.File(FileConsole)
		return b.pts
	case m.Legacy != 0:
		made = b.makeLegacy(step, shown, m, plan.context(fstype), attr)
	default:
		made = b.make(step, shown, fstype, m.Name, slices.Concat(m.Config, plan.context(fstype)), attr)
	}
	for _, name := range m.Give {
		if !plan.IDs.IsZero() {
			b.Call(step, shown, unix.SYS_FCHOWNAT, made, process.Str(name), process.Int(b.uid), process.Int(b.gid), process.Int(unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW))
		}
	}
	b.setattr(step, shown, made, 0, Attr{}, m.Propagation.Flag)
	return made
}

// hierarchy mounts one hierarchy of control groups on a directory of its name.
func (b *builder) hierarchy(m Mount, h Hierarchy, dir process.Arg) {
	step, shown := "mount cgroup", path.Join(m.Destination, h.Name)
	var made process.Arg
	if h.File != "" {
		made = b.File(h.File)
	} else {
		made = b.make(step, shown, "cgroup", "cgroup", h.Config, m.flags())
	}
	b.Call(step, shown, unix.SYS_MKDIRAT, dir, process.Str(h.Name), process.Int(0o755))
	b.attach(step, shown, made, dir, h.Name)
	for _, link := range h.Links {
		b.Call(step, shown, unix.SYS_SYMLINKAT, process.Str(h.Name), dir, process.Str(link)).Accept = process.Accept(unix.EEXIST)
	}
}

// remount changes what its words say of the mount that is at its destination, and nothing else.
func (b *builder) remount(m Mount) {
	step, shown := "remount", m.Destination
	at := b.open(step, shown, b.root, m.Destination, 0, resolution(m.Destination))
	b.setattr(step, shown, at, 0, m.Attr, 0)
	b.setattr(step, shown, at, unix.AT_RECURSIVE, m.All, 0)
	b.propagate(step, shown, at, m.Propagation)
	if len(m.Config) == 0 {
		return
	}
	fs := b.CallFD(step, shown, unix.SYS_FSPICK, at, process.Str(""), process.Int(unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH))
	b.configure(step, shown, fs, m.Config)
	b.Call(step, shown, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_CMD_RECONFIGURE))
}

// propagate says how mounts pass to and from a mount.
func (b *builder) propagate(step, shown string, mount process.Arg, p Propagation) {
	flags := 0
	if p.Recursive {
		flags = unix.AT_RECURSIVE
	}
	b.setattr(step, shown, mount, flags, Attr{}, p.Flag)
}

// console binds the terminal over /dev/console. In a /dev of the manifest's own, nothing is made for it, and nothing is
// mounted if that would show on the node.
func (b *builder) console(plan Plan) {
	const step, at = "mount console", "/dev/console"
	if !plan.Terminal {
		return
	}
	if plan.Dev != DevForeign {
		point := b.mountPoint(Mount{Type: "bind", Destination: at})
		b.attach(step, at, b.clone(step, at, b.pts, "0", 0), point, "")
		return
	}
	for _, m := range plan.Mounts {
		if m.Destination == "/dev" && m.Propagation.Flag == unix.MS_SHARED {
			return
		}
	}
	s := b.Slot()
	there := b.lookup(step, at, b.root, at, 0, straight, s)
	b.attach(step, at, b.clone(step, at, b.pts, "0", 0), process.In(s), "")
	b.absent(there, len(b.Ops))
}

// mountPoint opens a mount's destination, making what is missing of it: directories, and an empty file at the end for the
// bind of a file.
func (b *builder) mountPoint(m Mount) process.Arg { return b.point("mount point", m) }

// point is mountPoint of what errors call by a name. Each element is made by its bare name in a directory held open, where no link can lead elsewhere.
// What is there costs one lookup; making what is there already is harmless, should that have said EAGAIN.
func (b *builder) point(name string, m Mount) process.Arg {
	step, makeStep := "open "+name, "make "+name
	isDir := m.Type != "bind" || m.Bind.Directory
	resolve, flags := resolution(m.Destination), uint64(0)
	if m.Ordinary {
		resolve = b.ordinary
	}
	if isDir {
		flags = unix.O_DIRECTORY
	}
	s := b.Slot()
	b.try(step, m.Destination, b.root, m.Destination, flags, resolve, s).Accept = process.Accept(unix.ENOENT, unix.EAGAIN)
	there := len(b.Ops) - 1
	parent := b.root
	elements := strings.Split(m.Destination[1:], "/")
	for i, name := range elements {
		last := i == len(elements)-1
		if last && !isDir {
			b.Call(makeStep, m.Destination, unix.SYS_MKNODAT, parent, process.Str(name), process.Int(unix.S_IFREG|0o644)).Accept = process.Accept(unix.EEXIST)
		} else {
			b.Call(makeStep, m.Destination, unix.SYS_MKDIRAT, parent, process.Str(name), process.Int(0o755)).Accept = process.Accept(unix.EEXIST)
		}
		if !last {
			parent = b.open(step, m.Destination, b.root, path.Join(elements[:i+1]...), unix.O_DIRECTORY, resolve)
		}
	}
	b.lookup(step, m.Destination, b.root, m.Destination, flags, resolve, s)
	b.Ops[there].Else = len(b.Ops) - there - 1
	return process.In(s)
}

// sysctls writes kernel parameters through a proc mount that nothing else can see yet. Those of an IPC namespace listen to the superuser of the user
// namespace that owns it, by effective user id (ipc_permissions in ipc/ipc_sysctl.c), those of a network namespace to capabilities there.
func (b *builder) sysctls(sysctls []Sysctl, proc process.Arg) {
	if b.uid != 0 && len(sysctls) > 0 {
		b.effective(b.uid)
		defer b.effective(0)
	}
	for _, s := range sysctls {
		f := b.openFile("set sysctl", s.Name, proc, s.file(), unix.O_WRONLY)
		b.Call("set sysctl", s.Name, unix.SYS_WRITE, f, process.Data([]byte(s.Value)), process.Int(len(s.Value)))
	}
}

// pivot makes the container's root the root of the process and lets go of the node's. See pivot_root(2) for the two dots.
func (b *builder) pivot() {
	b.Call("change root", "/", unix.SYS_FCHDIR, b.root)
	b.Call("change root", "/", unix.SYS_PIVOT_ROOT, process.Str("."), process.Str("."))
	b.Call("let go of the old root", "/", unix.SYS_UMOUNT2, process.Str("."), process.Int(unix.MNT_DETACH))
}

// EnterDir adds the ops that make a path of the root directory the working directory, of a child that is in the root directory. The path is resolved
// before it is entered, so that no /proc/self/fd/N leads out.
func EnterDir(p *process.Program, path string) {
	if path == "/" {
		return
	}
	const step = "enter working directory"
	b := &builder{Program: p}
	root := b.CallFD(step, "/", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/"), process.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC))
	b.Call(step, path, unix.SYS_FCHDIR, b.open(step, path, root, path, unix.O_DIRECTORY, inside))
}
