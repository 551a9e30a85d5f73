package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Member is one image of a set, and what its taker knows of it.
type Member struct {
	*Writer
	Facts spec.Image
}

// CommitSet commits images that were taken at one moment, all or none: also when the process or the machine ends in the middle. The set's name is one that no
// other has. It ends all Writers.
func (s *Store) CommitSet(ctx context.Context, set string, members []Member) ([]spec.Image, error) {
	if !setName.MatchString(set) {
		return nil, errors.Join(fmt.Errorf("%q is not the name of a set: %w", set, fs.ErrInvalid), abort(members))
	}
	for i := range members {
		members[i].Facts.Set = set
	}
	return s.commit(ctx, set, members)
}

// commit seals the images of a set, or one that is in none, and then shows them.
func (s *Store) commit(ctx context.Context, set string, members []Member) ([]spec.Image, error) {
	images := make([]spec.Image, len(members))
	files := make([][]hashed, len(members))
	for i, m := range members {
		if m.isDone {
			return nil, errors.Join(fmt.Errorf("the image %s was given up: %w", m.Ref(), fs.ErrClosed), abort(members))
		}
		r, list, err := m.seal(ctx, m.Facts)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot commit the image %s: %w", m.Ref(), err), abort(members))
		}
		images[i], files[i] = r.Image, list
	}
	err := ctx.Err()
	if err == nil {
		err = s.publish(set, members)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot commit the image %s: %w", members[0].Ref(), err), abort(members))
	}
	for i, m := range members {
		s.trust(m.container, m.id, files[i])
		m.close()
	}
	return images, nil
}

// publish gives images their names. Those of a set are announced before: until the announcement is taken back they do not count.
func (s *Store) publish(set string, members []Member) error {
	s.hide(members, true)
	err := s.announce(set, members)
	if err == nil {
		err = rename(members)
	}
	if err == nil {
		err = s.unannounce(set)
	}
	if err != nil {
		// What cannot be undone stays hidden, and announced to the next Open.
		if undo := s.undo(set, members); undo != nil {
			return errors.Join(err, undo)
		}
	}
	s.hide(members, false)
	return err
}

func (s *Store) hide(members []Member, isHidden bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range members {
		if isHidden {
			s.pending[m.Ref()] = true
		} else {
			delete(s.pending, m.Ref())
		}
	}
}

// rename is the moment from which a directory is an image.
func rename(members []Member) error {
	for _, m := range members {
		if err := m.parent.rename(m.id+partialSuffix, m.id); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := m.parent.sync(); err != nil {
			return err
		}
	}
	return nil
}

// undo takes back what publish did.
func (s *Store) undo(set string, members []Member) (err error) {
	for _, m := range members {
		e := m.parent.rename(m.id, m.id+partialSuffix)
		if e != nil && !errors.Is(e, fs.ErrNotExist) && m.dir.dropRecord() != nil { // without its record it is no image either
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return err
	}
	return s.unannounce(set)
}

// announcement is the file of a set that is being committed.
type announcement struct {
	Members []string `json:"members"`
}

// maxAnnouncement bounds it: a thousand members.
const maxAnnouncement = 128 << 10

func (s *Store) announce(set string, members []Member) error {
	if set == "" {
		return nil
	}
	var a announcement
	for _, m := range members {
		a.Members = append(a.Members, m.Ref())
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sets, err := s.root.sub(setsName)
	if err != nil {
		return err
	}
	defer sets.close()
	if _, err := statAt(sets, set); err == nil {
		return fmt.Errorf("the set %s is being committed: %w", set, spec.ErrBusy)
	}
	return sets.replace(set, text)
}

func (s *Store) unannounce(set string) error {
	if set == "" {
		return nil
	}
	sets, err := s.root.sub(setsName)
	if err != nil {
		return err
	}
	defer sets.close()
	if err := sets.unlink(set); err != nil {
		return err
	}
	return sets.sync()
}

// abort gives up all images of a set.
func abort(members []Member) (err error) {
	for _, m := range members {
		err = errors.Join(err, m.Abort())
	}
	return err
}
