package mount

import (
	"encoding/binary"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// builder appends ops to a program and remembers the descriptors that later ops need.
type builder struct {
	*process.Program
	root    process.Arg // the container's root directory
	dev     process.Arg // the container's /dev
	pts     process.Arg // the console's devpts
	nothing process.Arg // an empty read-only file system, attached where nobody sees it
	own     process.Arg // device nodes, attached where nobody sees them; the first is null
	null    node        // what masks are bound from
	covered process.Arg // what covers proc, while others are mounted

	uid, gid uint32   // the node's ids of the container's superuser
	ordinary uint64   // how the directories that proc, sysfs and dev go onto are resolved
	late     []locked // mounts that become read-only once all mount points are there
	stage    string
	covers   int // mounts over the stage
}

// node is a device by its bare name in a file system made here.
type node struct {
	dir  process.Arg
	name string
}

// locked is a mount that is to become read-only.
type locked struct {
	step, shown string
	mount       process.Arg
}

// How a path is resolved. Inside is for paths that an image or manifest may lead through symbolic links; straight for those
// in file systems made here; ordinary for those that must be directories of the root file system itself.
const (
	inside   = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	straight = inside | unix.RESOLVE_NO_SYMLINKS
	ordinary = straight | unix.RESOLVE_NO_XDEV
)

// tries is how often a lookup that may meet ".." in a link is repeated, see span.
const tries = 4

// span is a run of ops that try the same lookup. openat2(2) says EAGAIN when a rename or mount elsewhere on the node came
// between ".." and its check; the program has no loops, so the tries stand one after the other, each skipping the rest.
type span struct{ first, last int }

// lookup appends the ops that open path below dir as O_PATH with further flags into slot s.
func (b *builder) lookup(step, shown string, dir process.Arg, path string, flags, resolve uint64, s process.Slot) span {
	n := tries
	if resolve&unix.RESOLVE_NO_SYMLINKS != 0 {
		n = 1
	}
	for i := range n {
		op := b.try(step, shown, dir, path, flags, resolve, s)
		op.Else = n - 1 - i
		if i < n-1 {
			op.Accept = process.Accept(unix.EAGAIN)
		}
	}
	return span{len(b.Ops) - n, len(b.Ops) - 1}
}

// try appends one lookup.
func (b *builder) try(step, shown string, dir process.Arg, path string, flags, resolve uint64, s process.Slot) *process.Op {
	op := b.Openat2(step, shown, dir, path, unix.O_PATH|flags, resolve)
	op.Out = s
	return op
}

// open is lookup for a path that must exist.
func (b *builder) open(step, shown string, dir process.Arg, path string, flags, resolve uint64) process.Arg {
	s := b.Slot()
	b.lookup(step, shown, dir, path, flags, resolve, s)
	return process.In(s)
}

// openFile appends the op that opens a file of the kernel's below dir for use, without links and other mounts on the way.
func (b *builder) openFile(step, shown string, dir process.Arg, path string, flags uint64) process.Arg {
	return b.Openat2FD(step, shown, dir, path, flags, ordinary)
}

// absent makes a lookup accept that there is no such path, and go on with op number next then.
func (b *builder) absent(l span, next int) {
	for i := l.first; i < l.last; i++ {
		b.Ops[i].Accept = process.Accept(unix.ENOENT, unix.ENOTDIR, unix.EAGAIN)
	}
	b.Ops[l.last].Accept = process.Accept(unix.ENOENT, unix.ENOTDIR)
	b.Ops[l.last].Skip = next - l.last - 1
}

// resolution is how a path of the manifest is resolved.
func resolution(path string) uint64 {
	if isBelowAny(path, bases...) {
		return straight
	}
	return inside
}

// make appends the ops that make a new file system of the kernel, not yet attached anywhere. Flags are those of the mount,
// not of the superblock, which others may share; the name is only for mountinfo. See fsopen(2), fsconfig(2), fsmount(2).
func (b *builder) make(step, shown, fstype, name string, config []Setting, attr uint64) process.Arg {
	fs := b.CallFD(step, shown, unix.SYS_FSOPEN, process.Str(fstype), process.Int(unix.FSOPEN_CLOEXEC))
	b.configure(step, shown, fs, append([]Setting{{"source", name}}, config...))
	b.Call(step, shown, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_CMD_CREATE))
	return b.CallFD(step, shown, unix.SYS_FSMOUNT, fs, process.Int(unix.FSMOUNT_CLOEXEC), process.Int(attr))
}

// configure appends the ops that give a file system its settings. An error names the setting.
func (b *builder) configure(step, shown string, fs process.Arg, config []Setting) {
	for _, c := range config {
		with := shown + " with " + c.String()
		if c.Value == "" {
			b.Call(step, with, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_SET_FLAG), process.Str(c.Key))
		} else {
			b.Call(step, with, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_SET_STRING), process.Str(c.Key), process.Str(c.Value))
		}
	}
}

// makeLegacy is make with mount(2), for the flags that fsconfig(2) does not have: the file system is mounted over the stage,
// cloned from there and unmounted again.
func (b *builder) makeLegacy(step, shown string, m Mount, context []Setting, attr uint64) process.Arg {
	var data []string
	legacy := m.Legacy
	for _, c := range slices.Concat(m.Config, context) {
		if flag, ok := legacySupers[c.Key]; ok && c.Value == "" {
			legacy |= flag
		} else {
			data = append(data, c.String())
		}
	}
	text := process.Str(strings.Join(data, ","))
	b.Call(step, shown, unix.SYS_MOUNT, process.Str(m.Name), process.Str(b.stage), process.Str(m.Type), process.Int(legacy), text)
	made := b.clone(step, shown, process.Int(unix.AT_FDCWD), b.stage, 0)
	b.Call(step, shown, unix.SYS_UMOUNT2, process.Str(b.stage), process.Int(unix.MNT_DETACH))
	b.setattr(step, shown, made, 0, Attr{Set: attr}, 0)
	return made
}

// legacySupers are what mount(2) has for the settings that every type takes; 0 is what it does anyway.
var legacySupers = map[string]uint64{
	"sync": unix.MS_SYNCHRONOUS, "async": 0, "dirsync": unix.MS_DIRSYNC, "mand": unix.MS_MANDLOCK, "nomand": 0,
	"lazytime": unix.MS_LAZYTIME, "nolazytime": 0,
}

// attach appends the op that puts a detached mount onto name below dir, or onto dir itself if name is "". A name is a
// single element, or the stage; a symbolic link there is not followed. See move_mount(2).
func (b *builder) attach(step, shown string, mount, dir process.Arg, name string) {
	flags := uint64(unix.MOVE_MOUNT_F_EMPTY_PATH)
	if name == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	b.Call(step, shown, unix.SYS_MOVE_MOUNT, mount, process.Str(""), dir, process.Str(name), process.Int(flags))
}

// defaultStage is a directory that every node has. In the child's mount namespace the stage is covered by what the container's root is
// made of, and goes away with the old root. It is not "/": what covers that survives a lazy unmount of what it covers.
const defaultStage = "/proc"

// cover attaches a mount over the stage.
func (b *builder) cover(step, shown string, mount process.Arg) {
	b.attach(step, shown, mount, process.Int(unix.AT_FDCWD), b.stage)
	b.covers++
}

// clone appends the op that clones the mount at name below dir, or at dir itself, detached. See open_tree(2).
func (b *builder) clone(step, shown string, dir process.Arg, name string, flags int) process.Arg {
	flags |= unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return b.CallFD(step, shown, unix.SYS_OPEN_TREE, dir, process.Str(name), process.Int(flags))
}

// restrict appends the op that makes a mount read-only, leaving its other flags.
func (b *builder) restrict(step, shown string, mount process.Arg, flags int) {
	b.setattr(step, shown, mount, flags, Attr{Set: readonly}, 0)
}

// setattr appends the op that changes a mount's flags and propagation, if there is anything to change. See mount_setattr(2).
func (b *builder) setattr(step, shown string, mount process.Arg, flags int, a Attr, propagation uint64) {
	if a == (Attr{}) && propagation == 0 {
		return
	}
	attr := binary.NativeEndian.AppendUint64(nil, a.Set)
	attr = binary.NativeEndian.AppendUint64(attr, a.Clear)
	attr = binary.NativeEndian.AppendUint64(attr, propagation)
	attr = append(attr, make([]byte, unix.MOUNT_ATTR_SIZE_VER0-len(attr))...)
	b.Call(step, shown, unix.SYS_MOUNT_SETATTR, mount, process.Str(""), process.Int(unix.AT_EMPTY_PATH|flags), process.Data(attr), process.Int(len(attr)))
}
