package simnode_test

import (
	"slices"
	"testing"
	"time"
)

// maxTries bounds the search for a shorter script.
const maxTries = 600

// shrink finds a shorter script that fails as well, by whatever: it leaves out ever smaller parts, then the waits. A script is tried twice before it
// counts as one that does not fail: workers of an agent take turns that no seed decides.
func shrink(t *testing.T, seed uint64, script []deed, change func(*simulation)) []deed {
	s := shrinker{fails: func(script []deed) bool {
		for range 2 {
			if _, wrong := simulate(t, seed, script, change); wrong != nil {
				return true
			}
		}
		return false
	}, until: time.Now().Add(2 * time.Minute), tries: maxTries}
	return s.waits(s.cut(script))
}

type shrinker struct {
	fails func([]deed) bool
	until time.Time
	tries int
}

func (s *shrinker) try(script []deed) bool {
	if s.tries--; s.tries < 0 || time.Now().After(s.until) {
		return false
	}
	return s.fails(script)
}

// cut leaves out parts: halves first, then quarters, and so on down to single deeds, again as long as that helps.
func (s *shrinker) cut(script []deed) []deed {
	for size := max(len(script)/2, 1); ; size /= 2 {
		for again := true; again; {
			again = false
			for end := len(script); end > 0; end -= size {
				shorter := slices.Concat(script[:max(end-size, 0)], script[end:])
				if s.try(shorter) {
					script, again = shorter, size == 1
				}
			}
		}
		if size <= 1 {
			return script
		}
	}
}

// waits leaves out times that are not needed.
func (s *shrinker) waits(script []deed) []deed {
	for i := range script {
		shorter := slices.Clone(script)
		if shorter[i].Wait = 0; script[i].Wait > 0 && s.try(shorter) {
			script = shorter
		}
	}
	return script
}

// TestShrink shows that of a script in which a bug shows little is left but what it takes.
func TestShrink(t *testing.T) {
	const steps = 100
	plant := bugs["destroyed without being stopped"]
	seed, _, wrong := campaign{1, 40, steps}.play(t, plant)
	if wrong == nil {
		t.Fatal("the bug is not caught")
	}
	script := shrink(t, seed, compose(seed, steps), plant)
	t.Logf("%d deeds of %d are left:\n%s", len(script), steps, printed(seed, script))
	if _, wrong := simulate(t, seed, script, plant); wrong == nil || len(script) > 6 {
		t.Errorf("%d deeds are left, which fail with %v", len(script), wrong)
	}
	again, same, err := parse(printed(seed, script))
	if err != nil || again != seed || !slices.Equal(same, script) {
		t.Errorf("printed and read again it is %d %v: %v", again, same, err)
	}
}
