package mount

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// mask hides a path: a directory below an empty read-only one, anything else below a null device made here. What
// is not there needs no mask; a lookup that fails costs less than asking the node beforehand.
func (b *builder) mask(path string) {
	const step = "mask"
	s := b.Slot()
	dir := b.lookup(step, path, b.root, path, unix.O_DIRECTORY, resolution(path), s)
	b.attach(step, path, b.clone(step, path, b.nothing, "", 0), process.In(s), "")
	masked := len(b.Ops) - 1
	b.absent(dir, len(b.Ops))
	file := b.lookup(step, path, b.root, path, 0, resolution(path), s)
	b.attach(step, path, b.clone(step, path, b.null.dir, b.null.name, 0), process.In(s), "")
	b.absent(file, len(b.Ops))
	b.Ops[masked].Else = len(b.Ops) - masked - 1
}

// readonly makes what is at a path read-only with all mounts below it. Their other flags stay as they are.
func (b *builder) readonly(path string) {
	const step = "make read-only"
	s := b.Slot()
	there := b.lookup(step, path, b.root, path, 0, resolution(path), s)
	tree := b.clone(step, path, process.In(s), "", unix.AT_RECURSIVE)
	b.restrict(step, path, tree, unix.AT_RECURSIVE)
	b.attach(step, path, tree, process.In(s), "")
	b.absent(there, len(b.Ops))
}
