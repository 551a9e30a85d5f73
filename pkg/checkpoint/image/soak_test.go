package image_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestImages damages images of a container at random places, one file in one way each: 20 of them, and 1,000 in a long campaign. Each is refused before criu would see it. Half of
// them are packed. Damage that a hash would not show cannot be told from none: there is none.
func TestImages(t *testing.T) {
	rounds := 20
	if os.Getenv("RECONCILER_SOAK") != "" {
		rounds = 1000
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	images := saved(t)
	for round := range rounds {
		dir := memoryDir(t)
		s := open(t, dir)
		i, err := commit(t, s, images)
		if err == nil && round%2 == 1 {
			_, err = s.Pack(t.Context(), i.Ref())
		}
		if err == nil {
			err = s.Verify(t.Context(), i.Ref())
		}
		if err != nil {
			t.Fatal(err)
		}
		what := spoilOne(t, filepath.Join(dir, i.Ref()), random)
		if err := s.Verify(t.Context(), i.Ref()); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("seed %d, round %d, %s: %v", seed, round, what, err)
		}
		if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// spoilOne flips a bit of one of the files below a directory, or cuts it off.
func spoilOne(t *testing.T, dir string, random *rand.Rand) (what string) {
	t.Helper()
	var names []string
	for _, name := range tree(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			names = append(names, name)
		}
	}
	name := names[random.IntN(len(names))]
	kind := []string{"flipped", "truncated"}[random.IntN(2)]
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := damages[kind](filepath.Join(dir, name), text, random); err != nil {
		t.Fatal(err)
	}
	return kind + " " + name
}
