package tree

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Apply puts the archive of Diff or Save back into dir, and with options.Whiteouts hides what was deleted. Nobody else may use dir meanwhile: it is
// the upper directory of an overlay that is not mounted yet, or a tree of its own. Directories that are there may stay (see Options.Clear);
// they get what the archive says. Anything else that is there refuses an entry of the same name, as does all that a tar of Diff or Save cannot hold: names that
// lead elsewhere, two entries of one name, entries below what is no directory of the tree, attributes that are the kernel's own.
//
// Nothing is ever written outside dir. The error names the entry; errors.Is fs.ErrInvalid is that the archive is wrong. After an error dir
// holds a part of it, and is to be thrown away.
func Apply(ctx context.Context, dir *os.File, r io.Reader, deleted []string, options Options) error {
	a := applier{
		ctx: ctx, options: options, in: reader{in: bufio.NewReaderSize(r, 64<<10)}, seed: maphash.MakeSeed(), made: map[uint64]bool{}, left: map[string]bool{},
		buf: make([]byte, bufferSize),
	}
	a.places.leave = a.finish
	defer a.places.close()
	if err := a.apply(int(dir.Fd()), deleted); err != nil {
		return fmt.Errorf("cannot put files into %s: %w", dir.Name(), err)
	}
	return nil
}

// applier writes one tree.
type applier struct {
	ctx     context.Context
	options Options
	in      reader
	places  places
	buf     []byte

	seed    maphash.Seed
	made    map[uint64]bool // the names of directories that the archive had, hashed
	left    map[string]bool // the names of devices that were left out
	entries int
	bytes   int64
}

func (a *applier) apply(dir int, deleted []string) error {
	if len(deleted) > 0 && !a.options.Whiteouts {
		return refused("%q was deleted, and there is nothing to delete it from", deleted[0])
	}
	if a.options.Clear {
		if err := clearDirectory(a.ctx, dir); err != nil {
			return err
		}
	}
	if err := a.places.begin(dir); err != nil {
		return err
	}
	for {
		e, err := a.in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = context.Cause(a.ctx)
		}
		if err != nil {
			return err
		}
		if err := a.entry(e); err != nil {
			return fmt.Errorf("%q: %w", e.clean(), blamed(err))
		}
	}
	if err := a.delete(deleted); err != nil {
		return err
	}
	return a.places.back(0)
}

// delete makes the whiteouts, in an order in which the directories are entered once.
func (a *applier) delete(deleted []string) error {
	for _, name := range slices.Sorted(slices.Values(deleted)) {
		if err := a.whiteout(name); err != nil {
			return fmt.Errorf("%q: %w", name, blamed(err))
		}
	}
	return nil
}

// whiteout hides a name of the lower layer. It is a device 0:0, see Documentation/filesystems/overlayfs.rst.
func (a *applier) whiteout(name string) error {
	parts, err := a.options.split(name)
	if err == nil && len(parts) == 0 {
		err = refused("the tree itself cannot be deleted")
	}
	if err == nil {
		err = a.count(blockSize)
	}
	if err != nil {
		return err
	}
	last := len(parts) - 1
	if err := a.places.enter(parts[:last], func(string) error { return nil }); err != nil {
		return err
	}
	return unix.Mknodat(a.places.top().fd, parts[last], unix.S_IFCHR, 0)
}

// count counts an entry and what it takes.
func (a *applier) count(size int64) error {
	if a.entries++; a.entries > a.options.entries() {
		return refused("more than %d entries", a.options.entries())
	}
	if a.options.Bytes > 0 && size > a.options.Bytes-a.bytes {
		return refused("more than %d bytes", a.options.Bytes)
	}
	a.bytes += size
	return nil
}

// entry puts one entry in its place.
func (a *applier) entry(e *entry) error {
	name := e.clean()
	parts, err := a.options.split(name)
	if err == nil {
		err = a.count(max(e.stored, blockSize))
	}
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return a.self(e)
	}
	last := len(parts) - 1
	if err := a.places.enter(parts[:last], a.apart); err != nil {
		return err
	}
	if e.kind == kindDirectory {
		if last >= a.options.depth() {
			return errDeep
		}
		return a.directory(e, name, parts[last])
	}
	return a.file(e, parts[last])
}

// apart refuses to come back to a directory that was left: what is in it stands together in an archive.
func (a *applier) apart(name string) error {
	if a.made[maphash.String(a.seed, name)] {
		return refused("it stands apart from its directory")
	}
	return nil
}

// once refuses a second entry of a directory.
func (a *applier) once(name string) error {
	hash := maphash.String(a.seed, name)
	if a.made[hash] {
		return unix.EEXIST
	}
	a.made[hash] = true
	return nil
}

// self takes the entry of the tree's own directory.
func (a *applier) self(e *entry) error {
	if e.kind != kindDirectory {
		return refused("the tree itself is a directory")
	}
	if err := a.once(root); err != nil {
		return err
	}
	a.places.open[0].entry = e
	return nil
}

// directory makes a directory and goes into it; one that is there will do.
func (a *applier) directory(e *entry, name, base string) error {
	if err := a.once(name); err != nil {
		return err
	}
	parent := a.places.top().fd
	if err := unix.Mkdirat(parent, base, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	fd, err := openDirectory(parent, base)
	if err != nil {
		return err
	}
	return a.places.push(fd, base, e)
}
