package linux_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// verbs are all that are about one instance.
var verbs = []struct {
	name string
	do   func(ctx context.Context, n *node, c spec.Container, id uint64) error
}{
	{"Create", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Create(ctx, c, id, spec.DefaultsVersion)
	}},
	{"Start", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Start(ctx, c.Metadata.Name, id)
	}},
	{"Pause", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Pause(ctx, c.Metadata.Name, id)
	}},
	{"Resume", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Resume(ctx, c.Metadata.Name, id)
	}},
	{"Update", func(ctx context.Context, n *node, c spec.Container, id uint64) error { return n.Update(ctx, c, id) }},
	{"Stop", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Stop(ctx, c.Metadata.Name, id, "SIGTERM", time.Second)
	}},
	{"Kill", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Kill(ctx, c.Metadata.Name, id, "SIGKILL")
	}},
	{"Destroy", func(ctx context.Context, n *node, c spec.Container, id uint64) error {
		return n.Destroy(ctx, c.Metadata.Name, id, false)
	}},
}

// A verb whose effect is already there does nothing and succeeds.
func TestRepeatedVerbs(t *testing.T) {
	n := open(t)
	c := n.container("web", forever)
	for _, verb := range verbs {
		must(t, verb.do(t.Context(), n, c, 1))
		if verb.name == "Start" {
			n.hear(t, "web", "up")
		}
		if verb.name == "Stop" || verb.name == "Kill" {
			n.await(t, "web", 1, exited)
		}
		before := n.look(t, "web", 1)
		if err := verb.do(t.Context(), n, c, 1); err != nil {
			t.Errorf("%s again: %v", verb.name, err)
		}
		if after := n.look(t, "web", 1); after.Pid != before.Pid || after.Starts != before.Starts || after.Phase != before.Phase {
			t.Errorf("%s again changed %+v to %+v", verb.name, before, after)
		}
	}
}

// Ending what has no process has nothing to do.
func TestNothingToEnd(t *testing.T) {
	n := open(t)
	must(t, n.Create(t.Context(), n.container("web", "exit 6"), 1, spec.DefaultsVersion))
	end := func() {
		t.Helper()
		must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", time.Second))
		must(t, n.Kill(t.Context(), "web", 1, "SIGTERM"))
		must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	}
	end()
	if got := n.look(t, "web", 1); got.Phase != spec.InstanceCreated || !got.Stopping.IsZero() {
		t.Errorf("ending a created instance gave %+v", got)
	}
	must(t, n.Start(t.Context(), "web", 1))
	n.await(t, "web", 1, exited)
	n.reopen(t)
	end()
	if got := n.look(t, "web", 1); got.Phase != spec.InstanceExited || got.Exit.Code != 6 {
		t.Errorf("ending an exited instance gave %+v, exit %+v", got, got.Exit)
	}
}

// Of what is not there, every verb says so and changes nothing; only Destroy is content.
func TestUnknown(t *testing.T) {
	n := open(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
	for _, verb := range verbs[1:] {
		err := verb.do(t.Context(), n, n.container("absent", ""), 7)
		if verb.name == "Destroy" {
			must(t, err)
		} else if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `"absent"`) {
			t.Errorf("%s: got %v, want fs.ErrNotExist and the name", verb.name, err)
		}
	}
	if all, err := n.ObserveOne(t.Context(), "absent"); len(all) > 0 || err != nil {
		t.Errorf("ObserveOne gave %v, %v", all, err)
	}
}

// A name that is no DNS label, or instance 0, is refused before any file is looked at.
func TestHostileNames(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", "sleep 1000"), 1)
	must(t, os.MkdirAll(n.path("run", "outside", "1"), 0o700))
	must(t, os.WriteFile(n.path("run", "outside", "1", "instance.json"), []byte("{}"), 0o600))
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
	for _, name := range []string{"", ".", "..", "../outside", "web/1", "/web", "a/../web", "Web", "web\x00", "web\n", "-web", strings.Repeat("w", 64), "keeper.sock"} {
		n.refused(t, name, 1)
		if _, err := n.ObserveOne(t.Context(), name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("observing %q: got %v, want fs.ErrInvalid", name, err)
		}
	}
	n.refused(t, "web", 0)
}

func (n *node) refused(t *testing.T, name string, id uint64) {
	for _, verb := range verbs {
		if err := verb.do(t.Context(), n, n.container(name, forever), id); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s of %q/%d: got %v, want fs.ErrInvalid", verb.name, name, id, err)
		}
	}
}

// What was created stays what it is: another spec in its place is refused, as is an update of more than live fields.
func TestAnotherSpecInItsPlace(t *testing.T) {
	n := open(t)
	c := n.container("web", forever)
	n.run(t, c, 1)
	c.Spec.Command = []string{"/bin/true"}
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: got %v, want fs.ErrExist", err)
	}
	if err := n.Update(t.Context(), c, 1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Update: got %v, want fs.ErrInvalid", err)
	}
	if err := n.Stop(t.Context(), "web", 1, "SIGNONSENSE", time.Second); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Stop with an unknown signal: got %v, want fs.ErrInvalid", err)
	}
	if err := n.Kill(t.Context(), "web", 1, "9"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Kill with a number: got %v, want fs.ErrInvalid", err)
	}
	if got := n.look(t, "web", 1); got.Phase != spec.InstanceRunning || !got.Stopping.IsZero() {
		t.Errorf("the refused verbs gave %+v", got)
	}
}
