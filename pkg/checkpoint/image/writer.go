package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Writer is an image that is being taken. It ends with Commit or Abort, and is nothing until Commit has succeeded. One goroutine uses it at a time.
type Writer struct {
	s             *Store
	container, id string
	parent        folder // NAME
	dir           folder // NAME/ID.partial, locked for as long as it is written
	images        *os.File
	origin        *record   // of an image that was taken elsewhere
	follower      *follower // nil for none
	isDone        bool
}

// Begin makes room for a new image of a container.
func (s *Store) Begin(container string) (*Writer, error) {
	if !containerName.MatchString(container) {
		return nil, fmt.Errorf("cannot begin an image of %q: that is no container: %w", container, fs.ErrInvalid)
	}
	w, err := s.begin(container, "")
	if err != nil {
		return nil, fmt.Errorf("cannot begin an image of %q: %w", container, err)
	}
	return w, nil
}

// begin is Begin.
func (s *Store) begin(container, wanted string) (*Writer, error) {
	s.beginning.Lock() // a directory that has no lock yet is not to be swept
	defer s.beginning.Unlock()
	for try := 1; ; try++ {
		w, err := s.tryBegin(container, wanted)
		// The directory of a container without images may go at any moment.
		if errors.Is(err, fs.ErrNotExist) && try < openTries {
			continue
		}
		return w, err
	}
}

func (s *Store) tryBegin(container, wanted string) (*Writer, error) {
	err := s.root.mkdir(container, 0o700)
	if err == nil {
		err = s.root.sync()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	w := &Writer{s: s, container: container}
	if w.parent, err = s.root.sub(container); err != nil {
		return nil, err
	}
	if err := w.make(wanted); err != nil {
		return nil, errors.Join(err, w.parent.close())
	}
	return w, nil
}

// make makes the image's own directory and that of criu's images. The wanted ID is of an image that was taken elsewhere: it keeps its place among others if it can.
func (w *Writer) make(wanted string) (err error) {
	entries, err := w.parent.entries()
	if err != nil {
		return err
	}
	_ = sweepPartial(w.parent, entries) // what cannot go is no reason to take no image
	if w.id, err = nextID(w.s.now(), newest(entries)); err != nil {
		return err
	}
	if wanted != "" && wanted < w.id && !slices.ContainsFunc(entries, func(e entry) bool { return strings.HasPrefix(e.name, wanted) }) {
		w.id = wanted
	}
	if err := w.parent.mkdir(w.id+partialSuffix, 0o700); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return errors.Join(err, w.parent.removeAll(w.id+partialSuffix))
	}
	return nil
}

func (w *Writer) open() (err error) {
	if w.dir, err = w.parent.sub(w.id + partialSuffix); err != nil {
		return err
	}
	if err = flock(w.dir.dir, unix.LOCK_EX); err == nil {
		err = w.dir.mkdir(imagesName, 0o700)
	}
	if err == nil {
		w.images, err = w.dir.open(imagesName, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	}
	if err != nil {
		return errors.Join(err, w.dir.close())
	}
	return nil
}

// newest is the last ID in a container's directory, of an image or of one that is being taken.
func newest(entries []entry) (id string) {
	for _, e := range entries {
		if name := strings.TrimSuffix(e.name, partialSuffix); idName.MatchString(name) {
			id = max(id, name)
		}
	}
	return id
}

// ID is the image's ID.
func (w *Writer) ID() string { return w.id }

// Ref is the image's NAME/ID once it is committed.
func (w *Writer) Ref() string { return w.container + "/" + w.id }

// Images is the directory checkpoint/, for criu's images. It is the Writer's, and open until that ends.
func (w *Writer) Images() *os.File { return w.images }

// Dir is the image's own directory, for dump.log and stats-dump. It is the Writer's, and open until that ends.
func (w *Writer) Dir() *os.File { return w.dir.dir }

// Create makes a further file of the image, and the directories it is in. The caller closes it before Commit, which syncs it.
func (w *Writer) Create(name string) (*os.File, error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	if err := w.mkdirs(path.Dir(name)); err != nil {
		return nil, fmt.Errorf("cannot make %s of the image %s: %w", name, w.Ref(), err)
	}
	f, err := w.dir.create(name)
	if err != nil {
		return nil, fmt.Errorf("cannot make %s of the image %s: %w", name, w.Ref(), err)
	}
	return f, nil
}

// Mkdir makes a directory of the image, for memory that is copied beforehand say, and opens it. One that is there is opened.
func (w *Writer) Mkdir(name string) (*os.File, error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	if err := w.mkdirs(name); err != nil {
		return nil, fmt.Errorf("cannot make %s of the image %s: %w", name, w.Ref(), err)
	}
	return w.dir.open(name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
}

// mkdirs makes the directories of a path that are not there.
func (w *Writer) mkdirs(name string) error {
	if name == "." {
		return nil
	}
	if err := w.mkdirs(path.Dir(name)); err != nil {
		return err
	}
	at := w.dir
	if parent := path.Dir(name); parent != "." {
		below, err := w.dir.sub(parent)
		if err != nil {
			return err
		}
		defer below.close()
		at = below
	}
	if err := at.mkdir(path.Base(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Commit makes what was written an image, with what the caller knows of it; container, ID, sizes and what is known of the node are the store's to say. Either
// it succeeds and the image outlives a loss of power, or there is no image. Pages
// that are missing are fs.ErrInvalid. It ends the Writer either way. Once ctx ends it gives up.
func (w *Writer) Commit(ctx context.Context, facts spec.Image) (spec.Image, error) {
	facts.Set = ""
	images, err := w.s.commit(ctx, "", []Member{{w, facts}})
	if err != nil {
		return spec.Image{}, err
	}
	return images[0], nil
}

// Abort gives up what was written. After Commit, or a second time, it does nothing.
func (w *Writer) Abort() error {
	if w.isDone {
		return nil
	}
	w.followed()
	err := w.parent.removeAll(w.id + partialSuffix)
	if err == nil {
		err = w.s.tidy(w.container, w.parent)
	}
	w.close()
	if err != nil {
		return fmt.Errorf("cannot remove what was written of the image %s: %w", w.Ref(), err)
	}
	return nil
}

// close gives the descriptors back, and with them the lock.
func (w *Writer) close() {
	w.isDone = true
	w.followed()
	_ = w.images.Close()
	_ = w.dir.close()
	_ = w.parent.close()
}

// seal brings all bytes to the disk, and then the record of them.
func (w *Writer) seal(ctx context.Context, facts spec.Image) (*record, []hashed, error) {
	c, err := walk(w.dir)
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(c.files, recordName) {
		return nil, nil, fmt.Errorf("somebody wrote the record: %w", fs.ErrInvalid)
	}
	if err := w.share(c); err != nil {
		return nil, nil, err
	}
	pages, err := w.account(unrecorded{w.dir, c})
	if err != nil {
		return nil, nil, err
	}
	files, err := hashNew(ctx, w.dir, c.files, w.followed())
	if err != nil {
		return nil, nil, err
	}
	r := &record{Schema: recordSchema, Links: c.links, Pages: pages, CPU: thisCPU()}
	if w.origin != nil {
		r.CPU = w.origin.CPU
	}
	for _, f := range files {
		r.Files = append(r.Files, f.file)
	}
	r.Image = w.complete(facts, r)
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	for _, d := range c.dirs {
		if err := w.syncDir(d); err != nil {
			return nil, nil, err
		}
	}
	text, err := r.encode()
	if err != nil {
		return nil, nil, err
	}
	if err := w.dir.write(recordName, text); err != nil {
		return nil, nil, err
	}
	return r, files, w.dir.sync()
}

// account adds up the memory. Of an image that was taken elsewhere everything is read, so that nothing is kept that would be refused later.
func (w *Writer) account(s source) (Pages, error) {
	if w.origin == nil {
		a, err := accountOf(s)
		if err != nil {
			return Pages{}, err
		}
		return a.pages, nil
	}
	f, err := scan(s)
	if err != nil {
		return Pages{}, err
	}
	return f.Pages, nil
}

// share lets everybody read the image who has a descriptor of it: criu does not read as root when it restores in a user namespace. Nobody else gets as far, the store
// is the owner's alone.
func (w *Writer) share(c contents) error {
	for _, name := range c.files {
		f, _, err := w.dir.regular(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Chmod(0o444), f.Close()); err != nil {
			return err
		}
	}
	for _, name := range c.dirs {
		d, err := w.dir.open(name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Chmod(0o755), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) syncDir(name string) error {
	d, err := w.dir.open(name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(w.dir.syncFile(d, name), d.Close())
}

// complete says what the store knows of an image.
func (w *Writer) complete(facts spec.Image, r *record) spec.Image {
	facts.Container, facts.ID = w.container, w.id
	facts.Bytes, facts.Memory = r.onDisk(), spec.Bytes((r.Pages.Stored+r.Pages.Parent)*pageSize)
	facts.Compression, facts.Problem = "", ""
	if w.origin == nil {
		facts.Kernel, facts.Arch = kernelRelease(), arch()
	}
	if now := w.s.now(); facts.CreatedAt.IsZero() || facts.CreatedAt.After(now) {
		facts.CreatedAt = now
	}
	facts.CreatedAt = facts.CreatedAt.UTC().Round(time.Millisecond)
	return facts
}
