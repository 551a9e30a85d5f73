// Package source reads directories of manifests as whole snapshots. It knows files, who may have written them and whether somebody
// still does; it refuses to know what a manifest means for a node.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Dir is a directory of manifests: regular files *.yaml, *.yml and *.json directly in it, and symbolic links that stay within it.
// It may itself be a symbolic link that is swapped. It is a reconcile.Source.
type Dir struct {
	path    string
	options Options
	owners  []uint32
	alone   bool // no directory, and no flag that would trust another owner

	filled place            // what the path led to when manifests were last in it; zero once it was seen empty for long enough
	empty  time.Time        // since when that is empty
	files  map[string]*file // by name, as last read
	reread time.Time        // when all files were last read because they are polled

	mu    sync.Mutex
	watch *watch          // nil when nobody wants hints, or the kernel gives none
	named map[string]bool // what manifests name beside them
	next  *Options        // from the next scan on
}

// Options say how a directory is read. The zero value trusts root and the user of this process, and watches where the kernel can tell.
type Options struct {
	// Owners are further users who may own files and directory.
	Owners []uint32
	// Watch is WatchAuto when not said.
	Watch Watch
	// Signers are those of whom one must have signed each manifest NAME, in NAME.sig beside it; nil asks for no signatures.
	Signers *signature.Signers
	// Decode reads a manifest; nil is spec.Decode.
	Decode func(path string, data []byte) ([]spec.Document, spec.Problems)
}

// New is the directory at a path, which need not be there yet. Files and directory have to belong to root, to the user of this process or to
// one of the owners, and nobody else may be able to write to them, nor to rename anything on the way to them: who can write a manifest is root.
func New(path string, o Options) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find directory %s: %w", path, err)
	}
	d := &Dir{path: path, files: map[string]*file{}}
	d.use(o)
	return d, nil
}

func (d *Dir) use(o Options) {
	if o.Decode == nil {
		o.Decode = spec.Decode
	}
	d.options, d.owners = o, ownersOf(o.Owners)
}

// ownersOf are all who may own what is read.
func ownersOf(more []uint32) []uint32 { return append([]uint32{0, uint32(os.Geteuid())}, more...) }

// Name is the absolute path of the directory.
func (d *Dir) Name() string { return d.path }

// place identifies a directory that a path led to. Inode numbers are used again; times of birth are not.
type place struct {
	resolved string
	dev, ino uint64
	born     unix.StatxTimestamp
	remote   bool // see remotes
}

// Scan reads the directory. Files whose status tells that they did not change are not read again, unless all is said.
func (d *Dir) Scan(_ context.Context, all bool) reconcile.Snapshot {
	d.renew()
	s := reconcile.Snapshot{Source: d.path, ReadAt: time.Now().Round(0).UTC()}
	if err := d.scan(&s, all); err != nil {
		s.Err, s.Files = err, nil
		if errors.Is(err, fs.ErrNotExist) {
			d.filled.ino = 0 // what is there next is another directory
			d.rewatch(place{})
		}
	}
	return s
}

func (d *Dir) scan(s *reconcile.Snapshot, all bool) error {
	dir, err := os.OpenFile(d.path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read manifests in %s: %w\nhint: make it, or mount what it is on", d.path, errors.Unwrap(err))
	} else if err != nil {
		return fmt.Errorf("cannot read manifests in %s: %w", d.path, errors.Unwrap(err))
	}
	defer dir.Close()
	at, err := d.placeOf(dir)
	if err != nil {
		return fmt.Errorf("cannot read manifests in %s: %w", d.path, err)
	}
	d.rewatch(at)
	revision := d.revisionOf(dir, at)
	names, err := manifestNames(dir)
	if err != nil {
		return fmt.Errorf("cannot read manifests in %s: %w", d.path, err)
	}
	if d.suspect(at, names) {
		return fmt.Errorf("%s is another directory than before and empty: is a file system not mounted?\nhint: put a manifest into it, or restart the agent if it is meant to be empty", d.path)
	}
	files, unsettled := d.readAll(dir, names, all || d.rereads(at))
	s.Listed = time.Now().Round(0).UTC() // a name may have vanished as late as it was opened
	// A directory that was removed or swapped meanwhile may have been shown in part.
	if again, err := d.placeNow(); err != nil || again != at {
		s.Unsettled = true
		return fmt.Errorf("%s was replaced while it was being read", d.path)
	}
	d.files = files
	d.besides(files)
	s.Unsettled, s.Revision = unsettled, revision
	d.fill(s, names)
	return nil
}

// suspect tells an empty directory in the place of one with manifests from one whose manifests were removed: the removal must have been seen
// in the directory where they were, for as long as any has to be seen. It may have been caught while it was removed with all that was in it.
func (d *Dir) suspect(at place, names []string) bool {
	switch {
	case len(names) > 0:
		d.filled, d.empty = at, time.Time{}
	case d.filled.resolved != at.resolved:
		d.filled = place{}
	case d.filled != at:
		return true
	case d.empty.IsZero():
		d.empty = time.Now()
	case time.Since(d.empty) >= reconcile.Settle:
		d.filled = place{}
	}
	return false
}

// fill puts the files that were read into a snapshot.
func (d *Dir) fill(s *reconcile.Snapshot, names []string) {
	s.Files = make([]*reconcile.File, 0, len(names))
	for _, name := range names {
		if f := d.files[name]; f != nil {
			s.Files = append(s.Files, f.decoded)
		}
	}
	s.Hash = hashOf(names, d.files)
}

// placeOf says what an open directory is, if it can be trusted.
func (d *Dir) placeOf(dir *os.File) (place, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return place{}, err
	}
	if err := d.trust(&st, "the directory", d.path); err != nil {
		return place{}, err
	}
	if st.Nlink == 0 {
		return place{}, fs.ErrNotExist
	}
	resolved, err := pathOf(dir.Fd())
	if err != nil {
		return place{}, err
	}
	if err := cmp.Or(d.trustWay(filepath.Dir(resolved)), d.trustWay(d.path)); err != nil {
		return place{}, err
	}
	var more unix.Statx_t
	if err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &more); err != nil {
		return place{}, err
	}
	return place{resolved, st.Dev, st.Ino, more.Btime, isRemote(dir.Fd())}, nil
}

// placeNow says what the path leads to now.
func (d *Dir) placeNow() (place, error) {
	dir, err := os.OpenFile(d.path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return place{}, err
	}
	defer dir.Close()
	return d.placeOf(dir)
}
