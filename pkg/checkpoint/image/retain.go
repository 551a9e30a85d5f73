package image

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Retention is how many images of a container stay. Zero is no bound.
type Retention struct {
	Count    int
	MaxAge   time.Duration
	MaxBytes spec.Bytes
}

// RetentionOf is what a manifest says.
func RetentionOf(c spec.Checkpoint) Retention {
	return Retention{Count: c.Kept(), MaxAge: time.Duration(c.MaxAge), MaxBytes: c.MaxBytes}
}

// Excess are the images of one container that go, oldest first: those beyond the count, those that are too old, and the oldest while all together take too much. What is of no
// use goes when a newer good one is there. Never the last good one, one that inUse tells of, or one that was kept by hand, which is not counted either, but takes room.
//
// Images of a set go together: mayGo says whether no member of a set has to stay. Nil: all may.
func Excess(images []spec.Image, r Retention, now time.Time, inUse func(ref string) bool, mayGo func(set string) bool) (remove []spec.Image) {
	images = slices.Clone(images)
	sort.Slice(images, func(i, j int) bool { return images[i].ID < images[j].ID })
	last := lastGood(images)
	var bytes spec.Bytes
	count := 0
	for _, i := range images {
		bytes += i.Bytes
		if !i.Kept {
			count++
		}
	}
	for at, i := range images {
		switch {
		case at == last, i.Kept, inUse != nil && inUse(i.Ref()), i.Set != "" && mayGo != nil && !mayGo(i.Set):
			continue
		case i.Problem != "" && at < last,
			r.Count > 0 && count > r.Count,
			r.MaxAge > 0 && now.Sub(i.CreatedAt) > r.MaxAge,
			r.MaxBytes > 0 && bytes > r.MaxBytes:
			remove = append(remove, i)
			count--
			bytes -= i.Bytes
		}
	}
	return remove
}

// lastGood is the newest image that nothing speaks against, -1 for none.
func lastGood(images []spec.Image) int {
	for i := len(images) - 1; i >= 0; i-- {
		if images[i].Problem == "" {
			return i
		}
	}
	return -1
}

// Prune removes the images of a container that are beyond r, and with one of a set the others of that set: all of them, or none when one of them is in use, kept, or the last
// good one of its container. An image that comes into use meanwhile stays. It says what it removed.
func (s *Store) Prune(container string, r Retention) (removed []spec.Image, err error) {
	s.pruning.Lock() // two at a time could each leave the other's last good one
	defer s.pruning.Unlock()
	all, err := s.List("")
	if err != nil {
		return nil, err
	}
	set := newSets(all, s.isInUse)
	own := slices.DeleteFunc(slices.Clone(all), func(i spec.Image) bool { return i.Container != container })
	for _, i := range Excess(own, r, s.now(), s.isInUse, set.mayGo) {
		for _, member := range set.with(i) {
			e := s.Remove(member.Ref())
			if errors.Is(e, spec.ErrBusy) {
				continue
			}
			if e != nil {
				err = errors.Join(err, fmt.Errorf("cannot remove the image %s: %w", member.Ref(), e))
				continue
			}
			removed = append(removed, member)
		}
	}
	return removed, err
}

// isInUse tells whether somebody uses an image at this moment.
func (s *Store) isInUse(ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[ref] > 0
}

// sets are the images that were taken together.
type sets struct {
	members map[string][]spec.Image
	stays   map[string]bool
}

// newSets looks at all images, oldest first.
func newSets(all []spec.Image, inUse func(string) bool) sets {
	s := sets{map[string][]spec.Image{}, map[string]bool{}}
	newest := map[string]string{} // the last good one of each container
	for _, i := range all {
		if i.Problem == "" {
			newest[i.Container] = i.ID
		}
	}
	for _, i := range all {
		if i.Set != "" {
			s.members[i.Set] = append(s.members[i.Set], i)
			s.stays[i.Set] = s.stays[i.Set] || newest[i.Container] == i.ID || i.Kept || inUse(i.Ref())
		}
	}
	return s
}

// mayGo tells whether no member of a set has to stay.
func (s sets) mayGo(set string) bool { return !s.stays[set] }

// with are the members of an image's set, or the image alone.
func (s sets) with(i spec.Image) []spec.Image {
	if i.Set == "" {
		return []spec.Image{i}
	}
	return s.members[i.Set]
}
