package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sweep removes what a crash has left: first sets that were being committed, then images that nobody writes any more, and directories without a record. What does not go
// stays hidden and is said by Swept.
func (s *Store) sweep() error {
	if err := s.root.mkdir(setsName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.root.sync(); err != nil {
		return err
	}
	s.swept = s.sweepSets()
	entries, err := s.root.entries()
	if err != nil {
		return err
	}
	for _, name := range containersOf(entries) {
		if err := s.sweepContainer(name); err != nil {
			s.swept = errors.Join(s.swept, fmt.Errorf("cannot remove what is left of images of %q: %w", name, err))
		}
	}
	return nil
}

// Swept says what the last Open found and could not remove; it is of no use and takes room. Nil when nothing is left.
func (s *Store) Swept() error { return s.swept }

// sweepSets undoes the sets that were being committed.
func (s *Store) sweepSets() error {
	sets, err := s.root.sub(setsName)
	if err != nil {
		return err
	}
	defer sets.close()
	entries, err := sets.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.name, newSuffix) {
			if undo := s.sweepSet(sets, e.name); undo != nil {
				err = errors.Join(err, fmt.Errorf("cannot undo the set %s: %w", e.name, undo))
				continue
			}
		}
		err = errors.Join(err, sets.removeAll(e.name))
	}
	return errors.Join(err, sets.sync())
}

// sweepSet removes the images of a set.
func (s *Store) sweepSet(sets folder, set string) (err error) {
	members, err := s.announced(sets, set)
	if err != nil {
		return err
	}
	for _, ref := range members {
		container, id, _ := strings.Cut(ref, "/")
		if e := s.remove(container, id); e != nil {
			s.pending[ref] = true
			err = errors.Join(err, e)
		}
	}
	return err
}

// announced are the images of a set that are there. The announcement may be unreadable: then every image that says that it is of the set.
func (s *Store) announced(sets folder, set string) ([]string, error) {
	var a announcement
	text, _, err := sets.read(set, maxAnnouncement)
	isReadable := err == nil && json.Unmarshal(text, &a) == nil
	list, err := s.List("")
	if err != nil {
		return nil, err
	}
	var members []string
	for _, i := range list {
		if i.Set == set && (!isReadable || slices.Contains(a.Members, i.Ref())) {
			members = append(members, i.Ref())
		}
	}
	return members, nil
}

// sweepContainer removes what is left of images of one container.
func (s *Store) sweepContainer(name string) error {
	dir, err := s.root.sub(name)
	if err != nil {
		return err
	}
	defer dir.close()
	entries, err := dir.entries()
	if err != nil {
		return err
	}
	err = sweepPartial(dir, entries)
	for _, e := range entries {
		if idName.MatchString(e.name) {
			err = errors.Join(err, sweepImage(dir, e.name))
		}
	}
	if err != nil {
		return err
	}
	return s.tidy(name, dir)
}

// sweepPartial removes the images that nobody writes any more.
func sweepPartial(dir folder, entries []entry) (err error) {
	for _, e := range entries {
		id, isPartial := strings.CutSuffix(strings.TrimSuffix(e.name, packSuffix), partialSuffix)
		isPartial = isPartial || strings.HasSuffix(e.name, packSuffix)
		if isPartial && idName.MatchString(id) && !isLocked(dir, e.name) {
			err = errors.Join(err, dir.removeAll(e.name))
		}
	}
	return err
}

// isLocked tells whether somebody writes or uses an image.
func isLocked(dir folder, name string) bool {
	image, err := dir.sub(name)
	if err != nil {
		return false
	}
	defer image.close()
	return flock(image.dir, unix.LOCK_EX) != nil
}

// sweepImage removes an image without a record, and from one with a record what a rewrite of it has left.
func sweepImage(dir folder, id string) error {
	if isLocked(dir, id) {
		return nil
	}
	_, err := statAt(dir, id+"/"+recordName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, fs.ErrInvalid) {
		return dir.removeAll(id)
	}
	if err != nil {
		return err
	}
	image, err := dir.sub(id)
	if err != nil {
		return err
	}
	defer image.close()
	return sweepRewrite(image)
}
