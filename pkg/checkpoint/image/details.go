package image

import (
	"context"
	"sort"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Verify is Reader.Verify and Reader.Facts of an image: whether it is as it was written, and makes sense.
func (s *Store) Verify(ctx context.Context, ref string) error {
	r, err := s.Acquire(ref)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Verify(ctx); err != nil {
		return err
	}
	_, err = r.Facts(ctx)
	return err
}

// Keep puts an image aside, so that retention leaves it alone, or gives it back.
func (s *Store) Keep(ref string, keep bool) error {
	_, err := s.Change(ref, Change{Facts: func(i *spec.Image) { i.Kept = keep }})
	return err
}

// states are the words for processes that do not run.
var states = map[uint32]string{taskStopped: "Stopped", taskDead: "Zombie"}

// Details are what is in an image, for people, as its record and criu's images say. Its memory and its files are not read: whether they are as they were
// written is for Verify. An image that contradicts itself is fs.ErrInvalid.
func (s *Store) Details(ctx context.Context, ref string) (spec.ImageDetails, error) {
	r, err := s.Acquire(ref)
	if err != nil {
		return spec.ImageDetails{}, err
	}
	defer r.Close()
	facts, err := r.Facts(ctx)
	if err != nil {
		return spec.ImageDetails{}, err
	}
	d := spec.ImageDetails{Image: r.Image()}
	for _, t := range facts.Tasks {
		d.Processes = append(d.Processes, spec.ImageProcess{
			Pid: t.PID, Parent: t.Parent, Comm: t.Command, Threads: len(t.Threads), State: states[t.State], Memory: spec.Bytes(t.Pages * pageSize),
		})
	}
	for _, m := range facts.Mounts {
		d.Mounts = append(d.Mounts, spec.ImageMount{Destination: m.Point, Type: m.Type, FromManifest: m.Key != "" || m.Point == "/"})
	}
	// criu names them as it meets them. Each lies on one with a shorter path.
	sort.SliceStable(d.Mounts, func(i, j int) bool { return d.Mounts[i].Destination < d.Mounts[j].Destination })
	for _, f := range r.record.Files {
		on := f.stored()
		d.Files = append(d.Files, spec.ImageFile{Name: on.Path, Bytes: spec.Bytes(on.Size), SHA256: on.SHA256})
	}
	return d, nil
}
