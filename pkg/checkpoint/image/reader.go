package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Reader is an image in use: until it is closed nobody removes or changes it. Nobody writes into its directories either: whoever needs a place for logs has another.
type Reader struct {
	s             *Store
	container, id string
	parent        folder
	dir           folder
	record        *record
	isClosed      bool
}

// Acquire takes an image into use. One that is not there is fs.ErrNotExist, one whose record or sizes are wrong fs.ErrInvalid; of its bytes Verify tells.
func (s *Store) Acquire(ref string) (*Reader, error) {
	container, id, err := splitRef(ref)
	if err != nil {
		return nil, err
	}
	r, err := s.acquire(container, id, unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("cannot use the image %s: %w", ref, err)
	}
	return r, nil
}

// lockPatience is how long an image is waited for that somebody removes or rewrites at this moment: neither reads or writes its memory while it holds the lock.
const lockPatience = 20 * time.Second

// acquire opens an image and locks it. A shared lock is waited for, an exclusive one is not: those who use an image use it for long.
func (s *Store) acquire(container, id string, how int) (_ *Reader, err error) {
	r := &Reader{s: s, container: container, id: id}
	if r.parent, err = s.root.sub(container); err != nil {
		return nil, err
	}
	if r.dir, err = r.parent.sub(id); err != nil {
		return nil, errors.Join(err, r.parent.close())
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(time.Millisecond) {
		err = r.take(how)
		if how == unix.LOCK_EX || !errors.Is(err, spec.ErrBusy) || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.dir.close(), r.parent.close())
	}
	return r, nil
}

// take locks the image, and sees whether it still is one.
func (r *Reader) take(how int) error {
	if err := flock(r.dir.dir, how); err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.pending[r.Ref()] {
		return fs.ErrNotExist
	}
	k, err := r.s.look(r.parent, r.container, r.id)
	if err != nil {
		return err
	}
	if k.problem != "" {
		return fmt.Errorf("%s: %w", k.problem, fs.ErrInvalid)
	}
	r.record = k.record
	r.s.users[r.Ref()]++
	return nil
}

// Close ends the use. A second time it does nothing.
func (r *Reader) Close() error {
	if r.isClosed {
		return nil
	}
	r.isClosed = true
	r.s.mu.Lock()
	if r.s.users[r.Ref()]--; r.s.users[r.Ref()] == 0 {
		delete(r.s.users, r.Ref())
	}
	r.s.mu.Unlock()
	return errors.Join(r.dir.close(), r.parent.close())
}

// Ref is the image's NAME/ID.
func (r *Reader) Ref() string { return r.container + "/" + r.id }

// Image is what is known of it.
func (r *Reader) Image() spec.Image { return r.record.Image }

// Files are the paths of its files, in order.
func (r *Reader) Files() []string {
	names := make([]string, len(r.record.Files))
	for i, f := range r.record.Files {
		names[i] = f.Path
	}
	return names
}

// IsPacked tells whether its files have to be unpacked before criu can read them.
func (r *Reader) IsPacked() bool {
	return slices.ContainsFunc(r.record.Files, func(f file) bool { return f.Packed != nil })
}

// Images opens the directory checkpoint/, for criu. It is the caller's to close. The Reader has to outlive its use.
func (r *Reader) Images() (*os.File, error) {
	return r.dir.open(imagesName, unix.O_DIRECTORY|unix.O_RDONLY, 0)
}

// Verify reads the image and compares it with its record: every file is there and none more, with the bytes that were written. Files that were read since
// the machine started and did not change since are not read again. An image that is not as it was is fs.ErrInvalid, and says so when it is listed.
func (r *Reader) Verify(ctx context.Context) error {
	err := r.verify(ctx)
	if err == nil || errors.Is(err, fs.ErrInvalid) {
		r.s.spoil(r.Ref(), err)
	}
	if err != nil {
		return fmt.Errorf("the image %s cannot be used: %w", r.Ref(), err)
	}
	return nil
}

func (r *Reader) verify(ctx context.Context) error {
	c, err := walk(r.dir)
	if err != nil {
		return err
	}
	if err := r.complete(c); err != nil {
		return err
	}
	var names []string // to be read
	want := map[string]file{}
	for _, f := range r.record.Files {
		f = f.stored()
		want[f.Path] = f
		st, err := statAt(r.dir, f.Path)
		if err != nil {
			return err
		}
		if f.Size < verifiedFloor || !r.s.isVerified(r.parent, r.container, r.id+"/"+f.Path, seen{st, f.SHA256}) {
			names = append(names, f.Path)
		}
	}
	list, err := hashAll(ctx, r.dir, names)
	if err != nil {
		return err
	}
	for _, h := range list {
		if w := want[h.Path]; h.Size != w.Size || h.SHA256 != w.SHA256 {
			return fmt.Errorf("%s is not as it was written: %w", h.Path, fs.ErrInvalid)
		}
	}
	r.s.trust(r.container, r.id, list)
	return nil
}

// complete compares the names in the image with those of the record.
func (r *Reader) complete(c contents) error {
	want := []string{recordName}
	for _, f := range r.record.Files {
		want = append(want, f.stored().Path)
	}
	slices.Sort(want)
	for _, name := range c.files {
		if _, ok := slices.BinarySearch(want, name); !ok {
			return fmt.Errorf("%s is in no record: %w", name, fs.ErrInvalid)
		}
	}
	for _, name := range want {
		if _, ok := slices.BinarySearch(c.files, name); !ok {
			return fmt.Errorf("%s is missing: %w", name, fs.ErrInvalid)
		}
	}
	if !maps.Equal(c.links, r.record.Links) {
		return fmt.Errorf("its links are not as they were written: %w", fs.ErrInvalid)
	}
	return nil
}
