package image_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestExcess gives random images to the rule: whatever they are, some stay for certain, and what stays keeps to the bounds but for those.
func TestExcess(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for range 20000 {
		images, used, torn := someImages(random, now)
		r := image.Retention{Count: random.IntN(6), MaxAge: time.Duration(random.IntN(3)) * 10 * time.Minute, MaxBytes: spec.Bytes(random.IntN(3) * 300)}
		gone := image.Excess(images, r, now, func(ref string) bool { return used[ref] }, func(set string) bool { return !torn[set] })
		if err := excessOf(images, gone, r, now, used, torn); err != nil {
			t.Fatalf("%+v\n%+v, in use %v, torn %v\nremoves %+v: %v", r, images, used, torn, gone, err)
		}
	}
}

func someImages(random *rand.Rand, now time.Time) (images []spec.Image, used, torn map[string]bool) {
	used, torn = map[string]bool{}, map[string]bool{"b": true}
	for i := range random.IntN(8) {
		one := spec.Image{
			Container: "web", ID: fmt.Sprintf("20261126-%09d", i), Bytes: spec.Bytes(random.IntN(200)), Kept: random.IntN(5) == 0,
			CreatedAt: now.Add(-time.Duration(random.IntN(30)) * time.Minute), Set: []string{"", "", "a", "b"}[random.IntN(4)],
		}
		if random.IntN(4) == 0 {
			one.Problem = "damaged"
		}
		used[one.Ref()] = random.IntN(5) == 0
		images = append(images, one)
	}
	random.Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
	return images, used, torn
}

func excessOf(images, gone []spec.Image, r image.Retention, now time.Time, used, torn map[string]bool) error {
	byID := func(a, b spec.Image) int { return cmpID(a.ID, b.ID) }
	isGone := func(i spec.Image) bool {
		return slices.ContainsFunc(gone, func(g spec.Image) bool { return g.ID == i.ID })
	}
	good := slices.SortedFunc(slices.Values(slices.DeleteFunc(slices.Clone(images), func(i spec.Image) bool { return i.Problem != "" })), byID)
	has := func(i spec.Image) bool { return i.Kept || used[i.Ref()] || torn[i.Set] }
	if len(good) > 0 && isGone(good[len(good)-1]) {
		return fmt.Errorf("the last good one goes")
	}
	count, bytes := 0, spec.Bytes(0)
	for _, i := range images {
		if isGone(i) {
			if has(i) {
				return fmt.Errorf("%s goes, and has to stay", i.ID)
			}
			continue
		}
		bytes += i.Bytes
		if !i.Kept {
			count++
		}
	}
	for _, i := range images {
		if isGone(i) || has(i) || len(good) > 0 && i.ID == good[len(good)-1].ID {
			continue
		}
		switch {
		case r.Count > 0 && count > r.Count, r.MaxBytes > 0 && bytes > r.MaxBytes:
			return fmt.Errorf("%d stay with %d bytes, and %s could go", count, bytes, i.ID)
		case r.MaxAge > 0 && now.Sub(i.CreatedAt) > r.MaxAge:
			return fmt.Errorf("%s stays and is too old", i.ID)
		}
	}
	return nil
}

func cmpID(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestPrune(t *testing.T) {
	s := open(t, memoryDir(t))
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { now = now.Add(time.Minute); return now })
	var web []string
	for range 4 {
		web = append(web, mustTake(t, s, "web").Ref())
	}
	var members []image.Member
	for _, name := range []string{"web", "db"} {
		w, err := s.Begin(name)
		if err == nil {
			err = fill(w)
		}
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, image.Member{Writer: w})
	}
	if _, err := s.CommitSet(t.Context(), "both", members); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(web[1], image.Change{Facts: func(i *spec.Image) { i.Kept = true }}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Acquire(web[2])
	if err != nil {
		t.Fatal(err)
	}
	prune := func(container string, count int, want ...string) {
		t.Helper()
		removed, err := s.Prune(container, image.Retention{Count: count})
		var got []string
		for _, i := range removed {
			got = append(got, i.Ref())
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("pruned %v, %v; want %v", got, err, want)
		}
	}
	prune("web", 10)
	prune("web", 1, web[0], web[3])
	r.Close()
	prune("web", 1, web[2])
	later := mustTake(t, s, "web").Ref()
	prune("web", 1) // the set has db's last good one
	mustTake(t, s, "db")
	prune("db", 1, members[0].Ref(), members[1].Ref())
	if got, want := list(t, s, "web"), []string{web[1], later}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}
