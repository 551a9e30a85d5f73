package mount

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// builder appends ops to a program and remembers the descriptors that later ops need.
type builder struct {
	*process.Program
	root    process.Arg // the container's root directory
	dev     process.Arg // the container's /dev
	nothing process.Arg // an empty read-only file system, attached where nobody sees it
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
	how := openHow(unix.O_PATH|unix.O_CLOEXEC|flags, resolve)
	op := b.Call(step, shown, unix.SYS_OPENAT2, dir, process.Str(path), process.Data(how), process.Int(unix.SizeofOpenHow))
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
	return b.CallFD(step, shown, unix.SYS_OPENAT2, dir, process.Str(path), process.Data(openHow(unix.O_CLOEXEC|flags, ordinary)), process.Int(unix.SizeofOpenHow))
}

// openHow is a struct open_how.
func openHow(flags, resolve uint64) []byte {
	how := binary.NativeEndian.AppendUint64(nil, flags)
	how = binary.NativeEndian.AppendUint64(how, 0)
	return binary.NativeEndian.AppendUint64(how, resolve)
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
// not of the superblock, which others may share; the source is only a name for mountinfo. See fsopen(2), fsconfig(2), fsmount(2).
func (b *builder) make(step, shown, fstype string, config []Setting, attr uint64) process.Arg {
	fs := b.CallFD(step, shown, unix.SYS_FSOPEN, process.Str(fstype), process.Int(unix.FSOPEN_CLOEXEC))
	for _, c := range append([]Setting{{"source", fstype}}, config...) {
		if c.Value == "" {
			b.Call(step, shown, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_SET_FLAG), process.Str(c.Key))
		} else {
			b.Call(step, shown, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_SET_STRING), process.Str(c.Key), process.Str(c.Value))
		}
	}
	b.Call(step, shown, unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_CMD_CREATE))
	return b.CallFD(step, shown, unix.SYS_FSMOUNT, fs, process.Int(unix.FSMOUNT_CLOEXEC), process.Int(attr))
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

// stage is a directory that every node has. In the child's mount namespace it is covered by what the container's root is
// made of, and goes away with the old root. It is not "/": what covers that survives a lazy unmount of what it covers.
const stage = "/proc"

// cover attaches a mount over the stage.
func (b *builder) cover(step, shown string, mount process.Arg) {
	b.attach(step, shown, mount, process.Int(unix.AT_FDCWD), stage)
}

// clone appends the op that clones the mount at name below dir, or at dir itself, detached. See open_tree(2).
func (b *builder) clone(step, shown string, dir process.Arg, name string, flags int) process.Arg {
	flags |= unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return b.CallFD(step, shown, unix.SYS_OPEN_TREE, dir, process.Str(name), process.Int(flags))
}

// restrict appends the op that makes a mount read-only, leaving its other flags. See mount_setattr(2).
func (b *builder) restrict(step, shown string, mount process.Arg, flags int) {
	attr := binary.NativeEndian.AppendUint64(nil, readonly)
	attr = append(attr, make([]byte, unix.MOUNT_ATTR_SIZE_VER0-len(attr))...)
	b.Call(step, shown, unix.SYS_MOUNT_SETATTR, mount, process.Str(""), process.Int(unix.AT_EMPTY_PATH|flags), process.Data(attr), process.Int(len(attr)))
}
