package image_test

import (
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestRetentionRacesWithUse takes images, uses them, packs them and lets them go, all at the same time: whoever has an image has all of it, and nobody is turned away
// from one that is there.
func TestRetentionRacesWithUse(t *testing.T) {
	s := open(t, memoryDir(t))
	mustTake(t, s, "web")
	const rounds = 40
	var wait sync.WaitGroup
	run := func(n int, do func() error) {
		for range n {
			wait.Go(func() {
				for range rounds {
					if err := do(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	run(2, func() error { _, err := take(s, "web"); return err })
	run(1, func() error { _, err := s.Prune("web", image.Retention{Count: 2}); return err })
	run(3, func() error {
		images, err := s.List("web")
		if err != nil || len(images) == 0 {
			return errors.Join(err, errors.New("there is no image"))
		}
		i := images[len(images)-1]
		if i.Problem != "" {
			return errors.New(i.Problem)
		}
		err = verify(t, s, i.Ref())
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	run(1, func() error {
		images, err := s.List("web")
		if err != nil {
			return err
		}
		_, err = s.Pack(t.Context(), images[0].Ref())
		if errors.Is(err, spec.ErrBusy) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	wait.Wait()
	if err := errors.Join(s.Close()); err != nil {
		t.Error(err)
	}
}
