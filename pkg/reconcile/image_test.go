package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// moody is a node in memory whose images can be had or not, for a while.
type moody struct {
	reconcile.Node
	images  func() error
	restore func() error
}

func (n *moody) Images(ctx context.Context, name string) ([]spec.Image, error) {
	if err := n.images(); err != nil {
		return nil, err
	}
	return n.Node.Images(ctx, name)
}

func (n *moody) Restore(ctx context.Context, name string, id uint64, image string) error {
	if err := n.restore(); err != nil {
		return err
	}
	return n.Node.Restore(ctx, name, id, image)
}

const savedManifest = `{apiVersion: reconciler/v1alpha1, kind: Container, metadata: {name: a}, spec: {rootfs: {path: /srv}, command: [/bin/sleep, "1000000"], state: Checkpointed}}`

// withImages plays with a container that has gone into an image and is to run again once the play begins.
func withImages(t *testing.T, node *moody, play func(t *testing.T, agent *reconcile.Agent)) {
	synctest.Test(t, func(t *testing.T) {
		machine, folder := simnode.New(), simnode.NewFolder("main")
		under := machine.Attach(nil, func() {})
		images, restore := node.images, node.restore
		node.Node, node.images, node.restore = under, fine, fine
		agent, err := reconcile.New(reconcile.Config{Node: node, Store: simnode.NewDisk().Store(under), Sources: []reconcile.Source{folder}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- agent.Run(ctx) }()
		folder.Put("a.yaml", fmt.Sprintf(someManifest, "a"))
		synctest.Wait()
		folder.Put("a.yaml", savedManifest)
		synctest.Wait()
		if a, _ := agent.Object("a"); a.Status.Phase != spec.PhaseCheckpointed {
			t.Fatalf("got %+v", a.Status)
		}
		node.images, node.restore = images, restore
		folder.Put("a.yaml", fmt.Sprintf(someManifest, "a"))
		synctest.Wait()
		play(t, agent)
		cancel()
		<-done
	})
}

func fine() error { return nil }

// times is an error so many times, and then none.
func times(n int, err error) func() error {
	return func() error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

// restored is what the status says of the latest begin.
func restored(agent *reconcile.Agent) spec.Condition {
	a, _ := agent.Object("a")
	for _, c := range a.Status.Conditions {
		if c.Type == spec.ConditionRestored {
			return c
		}
	}
	return spec.Condition{}
}

// What cannot be listed, is in use, or fails for a reason that may pass, is tried again for a moment; what stays so is not, nor what is refused.
func TestPassingTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		node   moody
		reason string
		why    string
	}{
		"not listed once":   {moody{images: times(1, errors.New("EIO")), restore: fine}, "Latest", "a/"},
		"not listed thrice": {moody{images: times(3, errors.New("EIO")), restore: fine}, "Latest", "a/"},
		"never listed":      {moody{images: times(1000, errors.New("EIO")), restore: fine}, "ColdStart", `cannot list the images of "a": EIO`},
		"in use once":       {moody{images: fine, restore: times(1, spec.ErrBusy)}, "Latest", "a/"},
		"always in use":     {moody{images: fine, restore: times(1000, spec.ErrBusy)}, "ColdStart", "could not be restored: in use"},
		"two failures":      {moody{images: fine, restore: times(2, errors.New("criu was killed"))}, "Latest", "a/"},
		"three failures":    {moody{images: fine, restore: times(3, errors.New("criu was killed"))}, "ColdStart", "could not be restored: criu was killed"},
		"one refusal":       {moody{images: fine, restore: times(1, fmt.Errorf("pages-1.img is damaged: %w", fs.ErrInvalid))}, "ColdStart", "could not be restored: pages-1.img is damaged"},
		"one that hung":     {moody{images: fine, restore: times(1, fmt.Errorf("criu: %w", context.DeadlineExceeded))}, "ColdStart", "could not be restored: criu: context deadline exceeded"},
		"unable":            {moody{images: fine, restore: times(1000, fmt.Errorf("no criu: %w", errors.ErrUnsupported))}, "ColdStart", "cold only: no criu"},
	} {
		t.Run(name, func(t *testing.T) {
			withImages(t, &c.node, func(t *testing.T, agent *reconcile.Agent) {
				time.Sleep(time.Minute)
				synctest.Wait()
				a, err := agent.Object("a")
				if got := restored(agent); err != nil || a.Status.Phase != spec.PhaseRunning || got.Reason != c.reason || !strings.Contains(got.Message, c.why) {
					t.Errorf("got %s, %s %q", a.Status.Phase, got.Reason, got.Message)
				}
				if a.Status.Container.RestartCount != 0 {
					t.Errorf("%d restarts", a.Status.Container.RestartCount)
				}
			})
		})
	}
}

// A failure that may pass counts for one climb only: the next run that is to begin from an image tries it again.
func TestTriedAgain(t *testing.T) {
	node := &moody{images: fine, restore: times(3, errors.New("criu was killed"))}
	withImages(t, node, func(t *testing.T, agent *reconcile.Agent) {
		time.Sleep(time.Minute)
		if got := restored(agent); got.Reason != "ColdStart" {
			t.Errorf("got %+v", got)
		}
		if err := agent.Restore(t.Context(), "a", ""); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := restored(agent); got.Status != spec.True || got.Reason != "Latest" {
			t.Errorf("got %+v", got)
		}
	})
}

// patient is a node in memory whose images take for ever.
type patient struct{ reconcile.Node }

func (patient) Checkpoint(ctx context.Context, _ string, _ uint64, _ spec.CheckpointOptions) (spec.Image, error) {
	<-ctx.Done()
	return spec.Image{}, context.Cause(ctx)
}

// Whoever asked for an image and leaves gets none.
func TestImageCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine, folder := simnode.New(), simnode.NewFolder("main")
		under := machine.Attach(nil, func() {})
		agent, err := reconcile.New(reconcile.Config{Node: patient{under}, Store: simnode.NewDisk().Store(under), Sources: []reconcile.Source{folder}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- agent.Run(ctx) }()
		folder.Put("a.yaml", fmt.Sprintf(someManifest, "a"))
		synctest.Wait()
		for _, stop := range []bool{false, true} {
			caller, leave := context.WithTimeout(t.Context(), 5*time.Second)
			began := time.Now()
			if _, err := agent.Checkpoint(caller, "a", spec.CheckpointOptions{Stop: stop}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
				t.Errorf("stop %v: %v after %v", stop, err, time.Since(began))
			}
			leave()
			synctest.Wait()
			if a, _ := agent.Object("a"); a.Status.Phase != spec.PhaseRunning || a.Status.Override.State != "" {
				t.Errorf("stop %v: %+v", stop, a.Status)
			}
		}
		cancel()
		<-done
	})
}

// Images are listed and removed by hand; removing one that is not there is told.
func TestImagesByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, new(txtar.Archive))
		s.folder(nil).Put("a.yaml", fmt.Sprintf(someManifest, "a"))
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		time.Sleep(time.Second)
		ctx := t.Context()
		taken, err := s.agent.Checkpoint(ctx, "a", spec.CheckpointOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.agent.Images(ctx, "")
		if err != nil || len(all) != 1 || all[0].Ref() != taken.Ref() || taken.Cause == "" {
			t.Errorf("got %+v, %v of %+v", all, err, taken)
		}
		for _, ref := range []string{"a", "a/20200101-000000000", "nobody/20200101-000000000", ""} {
			if err := s.agent.RemoveImage(ctx, ref); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removing %q: %v, want fs.ErrNotExist", ref, err)
			}
		}
		if err := s.agent.RemoveImage(ctx, taken.Ref()); err != nil {
			t.Error(err)
		}
		if all, err := s.agent.Images(ctx, "a"); err != nil || len(all) != 0 {
			t.Errorf("got %+v, %v", all, err)
		}
	})
}

// An image of the schedule is no difference between what is and what should be: the container stays Ready while it is taken.
func TestReadyWhileTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, new(txtar.Archive))
		manifest := strings.Replace(fmt.Sprintf(someManifest, "a"), "command:", "checkpoint: {every: 1m}, command:", 1)
		s.folder(nil).Put("a.yaml", manifest)
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		s.machine.Slow(time.Second)
		time.Sleep(time.Second)
		_, version := s.agent.Objects()
		changes, err := s.agent.Watch(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		taken := 0
		for {
			synctest.Wait()
			select {
			case c := <-changes:
				for _, condition := range c.Object.Status.Conditions {
					if condition.Type == spec.ConditionReady && condition.Status != spec.True {
						t.Fatalf("got %+v", c.Object.Status)
					}
				}
				for _, a := range c.Object.Status.Pending {
					if a.Verb == reconcile.VerbCheckpoint {
						taken++
					}
				}
			default:
				if taken < 50 {
					t.Errorf("%d images were shown while they were taken", taken)
				}
				return
			}
		}
	})
}

// What would be done on a node that restores nothing, or with more images than are remembered, all of which fail: in the end the command is started.
func TestColdInTheEnd(t *testing.T) {
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "a"}}
	c.Spec.Checkpoint = spec.Checkpoint{RestoreOnStart: spec.RestoreLatest, Retain: 100}
	in := spec.Instance{Name: "a", ID: 1, Phase: spec.InstanceCreated, Spec: c, Defaults: spec.DefaultsVersion}
	in.Hash = spec.Identity(c, in.Defaults)
	s := reconcile.Subject{Name: "a", Desired: &reconcile.Desired{Container: c}, Observed: []spec.Instance{in}}
	s.Record.NextInstance = 2
	for i := range 100 {
		s.Images = append(s.Images, spec.Image{Container: "a", ID: fmt.Sprintf("20260101-%09d", i), Hash: in.Hash, Spec: c, Defaults: in.Defaults})
	}
	unable := s
	unable.Unable = "no criu"
	if d := reconcile.Plan(unable, time.Now()); len(d.Actions) == 0 || d.Actions[0].Verb != reconcile.VerbStart || !strings.Contains(d.Actions[0].Cause, "cold only: no criu") {
		t.Errorf("on a node without criu: %+v", d.Actions)
	}
	tried := map[string]bool{}
	for range 100 {
		d := reconcile.Plan(s, time.Now())
		if len(d.Actions) == 0 {
			t.Fatalf("nothing is done after %d images", len(tried))
		}
		a := d.Actions[0]
		if a.Verb == reconcile.VerbStart {
			break
		}
		if a.Verb != reconcile.VerbRestore || tried[a.Image] {
			t.Fatalf("after %d images: %+v", len(tried), a)
		}
		tried[a.Image] = true
		s.Record = d.Record
		reconcile.NoteRestored(&s.Record, a.Image, fmt.Errorf("damaged: %w", fs.ErrInvalid))
	}
	if len(tried) != 15 {
		t.Errorf("%d images were tried", len(tried))
	}
}
