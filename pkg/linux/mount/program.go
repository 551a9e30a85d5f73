package mount

import (
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
// a new mount namespace, and come after the ops of package namespace. The files they name come from plan.Open.
func Append(p *process.Program, plan Plan) {
	p.Ops = slices.Grow(p.Ops, usualOps)
	b := &builder{Program: p}
	b.Call("make mounts private", "/", unix.SYS_MOUNT, process.Str("none"), process.Str("/"), process.Int(0), process.Int(unix.MS_REC|unix.MS_PRIVATE))
	b.Call("clear umask", "", unix.SYS_UMASK, process.Int(0))
	if len(plan.Masked) > 0 {
		b.nothing = b.make("make empty mask", "", "tmpfs", []Setting{{"nr_blocks", "1"}, {"nr_inodes", "1"}, {"mode", "0555"}}, quiet|readonly)
		b.cover("make empty mask", "", b.nothing)
	}
	b.enterRoot(plan.Root)
	for _, m := range plan.Mounts {
		b.mount(m, plan)
	}
	for _, path := range plan.Masked {
		b.mask(path)
	}
	for _, path := range plan.Readonly {
		b.readonly(path)
	}
	if plan.Root.ReadOnly {
		b.restrict("make root read-only", "/", b.root, 0)
	}
	b.pivot(plan.WorkingDir)
}

// enterRoot attaches the root file system over the stage. All of an overlay's layers are directories of the layer's
// mount, named relative to the working directory, so no path needs the overlay's quoting of ":" and ",".
// See Documentation/filesystems/overlayfs.rst; index=off lets a restart begin while the last mount of the layer still goes.
func (b *builder) enterRoot(r Root) {
	const step = "mount root"
	lower := b.File(FileRootfs)
	if !r.Overlay {
		b.cover(step, r.Path, lower)
		b.root = lower
		return
	}
	layer := b.File(FileLayer)
	b.cover(step, r.Path, layer)
	b.attach(step, r.Path, lower, layer, dirLower)
	b.Call(step, r.Path, unix.SYS_FCHDIR, layer)
	config := []Setting{{"lowerdir", dirLower}, {"upperdir", dirUpper}, {"workdir", dirWork}, {"index", "off"}}
	b.root = b.make(step, r.Path, "overlay", config, unix.MOUNT_ATTR_NODEV)
	b.cover(step, r.Path, b.root)
}

// mount makes one mount of the plan. A bind's source comes detached and with its flags set.
func (b *builder) mount(m Mount, plan Plan) {
	step, shown := "mount "+m.Type, m.Destination
	var made process.Arg
	if m.Bind.File != "" {
		made = b.File(m.Bind.File)
	} else {
		made = b.make(step, shown, m.Type, m.Config, m.Set)
	}
	if m.Type == "proc" {
		b.sysctls(plan.Sysctls, made)
	}
	if m.Devices {
		b.devices(made)
		b.dev = made
	}
	b.attach(step, shown, made, b.mountPoint(m), "")
}

// mountPoint opens a mount's destination, making what is missing of it: directories, and an empty file at the end for the
// bind of a file. Each is made by its bare name in a directory held open, where no link can lead elsewhere. What is there
// costs one lookup; making what is there already is harmless, should that have said EAGAIN.
func (b *builder) mountPoint(m Mount) process.Arg {
	const step = "open mount point"
	isDir := m.Bind.File == "" || m.Bind.Directory
	resolve, flags := resolution(m.Destination), uint64(0)
	if m.Ordinary {
		resolve = ordinary
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
			b.Call("make mount point", m.Destination, unix.SYS_MKNODAT, parent, process.Str(name), process.Int(unix.S_IFREG|0o644)).Accept = process.Accept(unix.EEXIST)
		} else {
			b.Call("make mount point", m.Destination, unix.SYS_MKDIRAT, parent, process.Str(name), process.Int(0o755)).Accept = process.Accept(unix.EEXIST)
		}
		if !last {
			parent = b.open(step, m.Destination, b.root, path.Join(elements[:i+1]...), unix.O_DIRECTORY, resolve)
		}
	}
	b.lookup(step, m.Destination, b.root, m.Destination, flags, resolve, s)
	b.Ops[there].Else = len(b.Ops) - there - 1
	return process.In(s)
}

// sysctls writes kernel parameters through a proc mount that nothing else can see yet.
func (b *builder) sysctls(sysctls []Sysctl, proc process.Arg) {
	for _, s := range sysctls {
		f := b.openFile("set sysctl", s.Name, proc, s.file(), unix.O_WRONLY)
		b.Call("set sysctl", s.Name, unix.SYS_WRITE, f, process.Data([]byte(s.Value)), process.Int(len(s.Value)))
	}
}

// pivot makes the container's root the root of the process and lets go of the node's. See pivot_root(2) for the two dots.
// The working directory is resolved before it is entered, so that no /proc/self/fd/N leads out.
func (b *builder) pivot(workingDir string) {
	b.Call("change root", "/", unix.SYS_FCHDIR, b.root)
	b.Call("change root", "/", unix.SYS_PIVOT_ROOT, process.Str("."), process.Str("."))
	b.Call("let go of the old root", "/", unix.SYS_UMOUNT2, process.Str("."), process.Int(unix.MNT_DETACH))
	EnterDir(b.Program, workingDir)
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
