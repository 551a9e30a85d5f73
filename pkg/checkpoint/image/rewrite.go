package image

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// packedSuffix marks a file that holds another one in less room.
const packedSuffix = ".zst"

// lateFiles are what criu writes when an image is complete already: they may be added later.
var lateFiles = []string{"dump.log", "stats-dump"}

// Change is what may change of an image that is committed.
type Change struct {
	// Facts changes what is known of it: whether it is kept, how long it took, whether the run ended with it. Everything else stays.
	Facts func(*spec.Image)
	// Late are the files dump.log and stats-dump, as far as the image has them not: criu writes them when the processes go on.
	Late map[string][]byte
}

// Change changes an image at once: a crash leaves it as it was or as it is to be. One that is in use is spec.ErrBusy.
func (s *Store) Change(ref string, c Change) (spec.Image, error) {
	i, err := s.rewrite(ref, func(image folder, r *record) error { return c.apply(image, r) })
	if err != nil {
		return spec.Image{}, fmt.Errorf("cannot change the image %s: %w", ref, err)
	}
	return i, nil
}

func (c Change) apply(image folder, r *record) error {
	for name, text := range c.Late {
		if err := addLate(image, r, name, text); err != nil {
			return err
		}
	}
	if c.Facts != nil {
		facts := r.Image
		c.Facts(&facts)
		r.Image.Cause, r.Image.Kept, r.Image.Stopped = facts.Cause, facts.Kept, facts.Stopped
		r.Image.Frozen, r.Image.Took = facts.Frozen, facts.Took
	}
	return nil
}

// rewrite gives an image another record. What change writes beside the files of the old one counts with the new one, and goes when it fails.
func (s *Store) rewrite(ref string, change func(folder, *record) error) (spec.Image, error) {
	container, id, err := splitRef(ref)
	if err != nil {
		return spec.Image{}, err
	}
	r, err := s.acquire(container, id, unix.LOCK_EX)
	if err != nil {
		return spec.Image{}, err
	}
	defer r.Close()
	record := *r.record
	record.Files = append([]file(nil), record.Files...)
	if err := s.rewritten(r.dir, &record, change); err != nil {
		return spec.Image{}, errors.Join(err, sweepRewrite(r.dir))
	}
	s.forget(ref)
	return record.Image, sweepRewrite(r.dir)
}

func (s *Store) rewritten(image folder, r *record, change func(folder, *record) error) error {
	if err := change(image, r); err != nil {
		return err
	}
	r.Image.Bytes = r.onDisk()
	if err := r.check(); err != nil {
		return err
	}
	text, err := r.encode()
	if err != nil {
		return err
	}
	return image.replace(recordName, text)
}

// sweepRewrite removes from an image what belongs to a record that never came, or is gone: by its name, nothing else.
func sweepRewrite(image folder) error {
	if err := image.unlink(recordName + newSuffix); err != nil {
		return err
	}
	text, _, err := image.read(recordName, maxRecord)
	if err != nil {
		return err
	}
	r, err := decode(text)
	if errors.Is(err, fs.ErrInvalid) {
		return nil // it is shown with its problem
	}
	if err != nil {
		return err
	}
	c, err := walk(image)
	if err != nil {
		return nil // Verify says what is wrong
	}
	for _, name := range c.files {
		if r.isStale(name) {
			err = errors.Join(err, unlinkBelow(image, name))
		}
	}
	return err
}

// isStale tells whether a file is of an image's earlier or later record, and not of this one.
func (r *record) isStale(name string) bool {
	plain, isPacked := strings.CutSuffix(name, packedSuffix)
	if isPacked {
		if f, ok := r.find(plain); ok {
			return f.Packed == nil
		}
	}
	f, ok := r.find(name)
	if !ok {
		return isLate(name)
	}
	return f.Packed != nil
}

func isLate(name string) bool {
	for _, late := range lateFiles {
		if name == late {
			return true
		}
	}
	return false
}

func unlinkBelow(image folder, name string) error {
	parent := path.Dir(name)
	if parent == "." {
		return image.unlink(name)
	}
	below, err := image.sub(parent)
	if err != nil {
		return err
	}
	defer below.close()
	return below.unlink(path.Base(name))
}
