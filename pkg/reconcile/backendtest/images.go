package backendtest

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// images are the laws of a node that takes images; one that does not has to say so.
var images = []struct {
	name  string
	check func(*suite)
}{
	{"an image leaves what runs", (*suite).imageOfRunning},
	{"an image of what is paused", (*suite).imageOfPaused},
	{"an image ends what runs, and it goes on from there", (*suite).imageAndBack},
	{"without a process there is no image", (*suite).imageOfNothing},
	{"images of a group are of one moment", (*suite).imageOfGroup},
	{"a restore of what runs does nothing", (*suite).restoreRunning},
	{"a restore into a successor, and into another container", (*suite).restoreElsewhere},
	{"a restore refuses another spec", (*suite).restoreOther},
	{"a restore of no image", (*suite).restoreNothing},
	{"retention", (*suite).retention},
	{"destroy removes images, but for those that are kept", (*suite).imagesDestroyed},
	{"an image is removed", (*suite).imageRemoved},
}

// withoutImages checks a node that takes none: it says so, and what runs does not notice.
func (s *suite) withoutImages() {
	before := s.start(s.container("web", heeding))
	for _, stop := range []bool{false, true} {
		if _, err := s.Node.Checkpoint(s.ctx, "web", 1, spec.CheckpointOptions{Stop: stop}); !errors.Is(err, errors.ErrUnsupported) {
			s.Errorf("got %v, want errors.ErrUnsupported", err)
		}
	}
	if after := s.look("web", 1); after.Pid != before.Pid || after.Phase != spec.InstanceRunning {
		s.Errorf("got %+v, was %+v", after, before)
	}
	if all, err := s.Node.Images(s.ctx, ""); err != nil || len(all) != 0 {
		s.Errorf("images %+v, %v", all, err)
	}
}

// take takes an image of instance 1, which must then be among those that are listed, the newest of all.
func (s *suite) take(name string, o spec.CheckpointOptions) spec.Image {
	s.Helper()
	i, err := s.Node.Checkpoint(s.ctx, name, 1, o)
	s.must(err)
	all := s.listed(name)
	if len(all) == 0 || all[len(all)-1].ID != i.ID {
		s.Fatalf("image %s is not the newest of %v", i.Ref(), refs(all))
	}
	return i
}

func (s *suite) listed(name string) []spec.Image {
	s.Helper()
	all, err := s.Node.Images(s.ctx, name)
	s.must(err)
	if !slices.IsSortedFunc(all, func(a, b spec.Image) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) }) {
		s.Errorf("not the oldest first: %v", refs(all))
	}
	return all
}

func refs(all []spec.Image) (list []string) {
	for _, i := range all {
		list = append(list, i.Ref())
	}
	return list
}

func (s *suite) imageOfRunning() {
	c := s.container("web", heeding)
	before := s.start(c)
	first := s.take("web", spec.CheckpointOptions{Cause: "a test", Keep: true})
	if first.Container != "web" || first.Instance != 1 || first.Starts != 1 || first.Stopped || !first.Kept || first.Cause != "a test" || first.Set != "" || first.Problem != "" {
		s.Errorf("got %+v", first)
	}
	if first.Hash != before.Hash || first.Defaults != before.Defaults || !reflect.DeepEqual(first.Spec, c) || first.CreatedAt.IsZero() || first.Bytes == 0 {
		s.Errorf("got %+v of %+v", first, before)
	}
	second := s.take("web", spec.CheckpointOptions{})
	if second.ID <= first.ID || len(s.listed("")) != 2 {
		s.Errorf("%s after %s", second.ID, first.ID)
	}
	if after := s.look("web", 1); !reflect.DeepEqual(after, before) {
		s.Errorf("it changed\n%+v to\n%+v", before, after)
	}
	s.stops("web")
}

// stops checks that the process of instance 1 is the one with a trap, which it may have set before an image of it was taken.
func (s *suite) stops(name string) {
	s.Helper()
	s.must(s.Node.Stop(s.ctx, name, 1, "SIGTERM", s.Patience))
	if exit := s.exit(name); exit.Code != 3 || exit.Reason != spec.ExitStopped {
		s.Errorf("got %+v, want code 3, Stopped", exit)
	}
}

func (s *suite) imageOfPaused() {
	before := s.start(s.container("web", heeding))
	s.must(s.Node.Pause(s.ctx, "web", 1))
	s.take("web", spec.CheckpointOptions{})
	if in := s.look("web", 1); in.Phase != spec.InstancePaused || in.Pid != before.Pid {
		s.Errorf("got %+v, want Paused with the same process", in)
	}
	ended := s.take("web", spec.CheckpointOptions{Stop: true})
	if exit := s.exit("web"); exit.Reason != spec.ExitCheckpointed {
		s.Errorf("got %+v, want Checkpointed", exit)
	}
	s.must(s.Node.Restore(s.ctx, "web", 1, ended.Ref()))
	if in := s.look("web", 1); in.Phase != spec.InstanceRunning {
		s.Errorf("got %+v, want Running", in)
	}
	s.stops("web")
}

func (s *suite) imageAndBack() {
	s.start(s.container("web", heeding))
	for round := range 2 {
		i := s.take("web", spec.CheckpointOptions{Stop: true})
		if !i.Stopped || i.Starts != round+1 {
			s.Errorf("got %+v", i)
		}
		if exit := s.exit("web"); exit.Reason != spec.ExitCheckpointed {
			s.Errorf("got %+v, want Checkpointed", exit)
		}
		if _, err := s.Node.Checkpoint(s.ctx, "web", 1, spec.CheckpointOptions{Stop: true}); !errors.Is(err, spec.ErrNotRunning) {
			s.Errorf("again: %v, want spec.ErrNotRunning", err)
		}
		s.must(s.Node.Restore(s.ctx, "web", 1, i.Ref()))
		if in := s.look("web", 1); in.Phase != spec.InstanceRunning || in.Pid == 0 || in.Starts != round+2 || in.Exit != nil {
			s.Errorf("restored as %+v", in)
		}
	}
	if len(s.listed("web")) != 2 {
		s.Errorf("images %v", refs(s.listed("web")))
	}
	s.stops("web")
}

func (s *suite) imageOfNothing() {
	c := s.container("web", code7)
	none := func(what string) {
		before := s.look("web", 1)
		for _, stop := range []bool{false, true} {
			if _, err := s.Node.Checkpoint(s.ctx, "web", 1, spec.CheckpointOptions{Stop: stop}); !errors.Is(err, spec.ErrNotRunning) {
				s.Errorf("%s: got %v, want spec.ErrNotRunning", what, err)
			}
		}
		if after := s.look("web", 1); !reflect.DeepEqual(before, after) || len(s.listed("")) != 0 {
			s.Errorf("%s: it changed to %+v, images %v", what, after, refs(s.listed("")))
		}
	}
	s.create(c)
	none("created")
	s.must(s.Node.Start(s.ctx, "web", 1))
	s.exit("web")
	none("exited")
	if _, err := s.Node.Checkpoint(s.ctx, "nobody", 1, spec.CheckpointOptions{}); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("of nobody: %v, want fs.ErrNotExist", err)
	}
}

func (s *suite) imageOfGroup() {
	pids := map[string]int{}
	for _, name := range []string{"shop-a", "shop-b", "shop-c"} {
		c := s.container(name, heeding)
		c.Spec.Group, c.Spec.Hostname = "shop", "shop"
		pids[name] = s.start(c).Pid
	}
	s.must(s.Node.Kill(s.ctx, "shop-c", 1, "SIGKILL"))
	s.exit("shop-c")
	first := s.take("shop-a", spec.CheckpointOptions{})
	other := s.listed("shop-b")
	if len(other) != 1 || first.Set == "" || other[0].Set != first.Set || len(s.listed("shop-c")) != 0 {
		s.Fatalf("%+v with %+v", first, other)
	}
	if s.look("shop-a", 1).Pid != pids["shop-a"] || s.look("shop-b", 1).Pid != pids["shop-b"] {
		s.Error("a process changed")
	}
	s.take("shop-b", spec.CheckpointOptions{Stop: true})
	for _, name := range []string{"shop-a", "shop-b"} {
		if exit := s.exit(name); exit.Reason != spec.ExitCheckpointed {
			s.Errorf("%s: got %+v, want Checkpointed", name, exit)
		}
		all := s.listed(name)
		s.must(s.Node.Restore(s.ctx, name, 1, all[len(all)-1].Ref()))
	}
	s.stops("shop-a")
	s.stops("shop-b")
}

func (s *suite) restoreRunning() {
	s.start(s.container("web", heeding))
	i := s.take("web", spec.CheckpointOptions{})
	before := s.look("web", 1)
	s.must(s.Node.Restore(s.ctx, "web", 1, i.Ref()))
	if after := s.look("web", 1); !reflect.DeepEqual(before, after) {
		s.Errorf("it changed\n%+v to\n%+v", before, after)
	}
}

func (s *suite) restoreElsewhere() {
	c := s.container("web", heeding)
	s.start(c)
	i := s.take("web", spec.CheckpointOptions{Stop: true})
	s.exit("web")
	s.must(s.Node.Create(s.ctx, c, 2, spec.DefaultsVersion))
	s.must(s.Node.Destroy(s.ctx, "web", 1, true))
	if len(s.listed("web")) != 1 {
		s.Error("destroying an instance that has a successor removed its image")
	}
	s.must(s.Node.Restore(s.ctx, "web", 2, i.Ref()))
	if in := s.look("web", 2); in.Phase != spec.InstanceRunning || in.Starts != 1 {
		s.Errorf("the successor is %+v", in)
	}
	clone := s.container("clone", heeding)
	clone.Metadata.Labels = map[string]string{"of": "web"}
	s.create(clone)
	s.must(s.Node.Restore(s.ctx, "clone", 1, i.Ref()))
	if in := s.look("clone", 1); in.Phase != spec.InstanceRunning || in.Pid == s.look("web", 2).Pid {
		s.Errorf("the clone is %+v", in)
	}
	s.stops("clone")
}

func (s *suite) restoreOther() {
	s.start(s.container("web", heeding))
	i := s.take("web", spec.CheckpointOptions{})
	s.create(s.container("other", defiant))
	before := s.look("other", 1)
	if err := s.Node.Restore(s.ctx, "other", 1, i.Ref()); !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("got %v, want fs.ErrInvalid", err)
	}
	if after := s.look("other", 1); !reflect.DeepEqual(before, after) {
		s.Errorf("it changed\n%+v to\n%+v", before, after)
	}
}

func (s *suite) restoreNothing() {
	s.create(s.container("web", heeding))
	before := s.look("web", 1)
	for _, ref := range []string{"web/20260101-000000000", "nobody/20260101-000000000"} {
		if err := s.Node.Restore(s.ctx, "web", 1, ref); !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("from %s: got %v, want fs.ErrNotExist", ref, err)
		}
	}
	if err := s.Node.Restore(s.ctx, "nobody", 1, "web/20260101-000000000"); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("nobody: got %v, want fs.ErrNotExist", err)
	}
	if after := s.look("web", 1); !reflect.DeepEqual(before, after) {
		s.Errorf("it changed\n%+v to\n%+v", before, after)
	}
}

func (s *suite) retention() {
	c := s.container("web", heeding)
	c.Spec.Checkpoint.Retain = 2
	s.start(c)
	kept := s.take("web", spec.CheckpointOptions{Keep: true})
	var taken []string
	for range 4 {
		taken = append(taken, s.take("web", spec.CheckpointOptions{}).Ref())
	}
	if got, want := refs(s.listed("web")), append([]string{kept.Ref()}, taken[2:]...); !slices.Equal(got, want) {
		s.Errorf("left are %v, want %v", got, want)
	}
}

func (s *suite) imagesDestroyed() {
	s.start(s.container("web", heeding))
	kept := s.take("web", spec.CheckpointOptions{Keep: true})
	s.take("web", spec.CheckpointOptions{Stop: true})
	s.exit("web")
	s.must(s.Node.Destroy(s.ctx, "web", 1, false))
	if got := refs(s.listed("web")); !slices.Equal(got, []string{kept.Ref()}) {
		s.Errorf("left are %v, want %s", got, kept.Ref())
	}
	s.must(s.Node.RemoveImage(s.ctx, kept.Ref()))
}

func (s *suite) imageRemoved() {
	s.start(s.container("web", heeding))
	first := s.take("web", spec.CheckpointOptions{})
	second := s.take("web", spec.CheckpointOptions{})
	for range 2 {
		s.must(s.Node.RemoveImage(s.ctx, first.Ref()))
	}
	if got := refs(s.listed("web")); !slices.Equal(got, []string{second.Ref()}) {
		s.Errorf("left are %v, want %s", got, second.Ref())
	}
}
