package machine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// notify says something in a container's place.
func (n *node) notify(name, text string) {
	n.t.Helper()
	conn, err := net.Dial("unixgram", fmt.Sprintf("/proc/%d/root%s", n.look(name).Pid, spec.NotifySocket))
	must(n.t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	must(n.t, err)
}

func (n *node) untilNotified(name string, want spec.Notified) {
	n.t.Helper()
	n.until(fmt.Sprintf("%+v", want), func() bool { return n.look(name).Notified == want })
}

// waited is a container that is waited for.
func waited(c spec.Container) spec.Container {
	c.Spec.Probes.Readiness = &spec.Probe{Notify: true}
	return c
}

// A run that was ready when its image was taken does not say it again: it is ready when it is restored, and is heard from then on.
func TestNotify(t *testing.T) {
	kerneltest.Criu(t)
	n := open(t)
	for name, users := range map[string]spec.UserMode{"count": "", "users": spec.UserAuto} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			defer func() { n.t = n.whole }()
			c := waited(n.container(name, counter))
			c.Spec.Namespaces.User.Mode = users
			n.run(c)
			n.until("a count", func() bool { return n.count(name) >= 3 })
			n.notify(name, "READY=1\nSTATUS=before")
			want := spec.Notified{Socket: true, Started: true, Ready: true, Status: "before"}
			n.untilNotified(name, want)
			for round := range 2 {
				img, err := n.Checkpoint(t.Context(), name, 1, spec.CheckpointOptions{Stop: true, Cause: "test"})
				must(t, err)
				n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
				at := n.count(name)
				must(t, n.Restore(t.Context(), name, 1, img.Ref()))
				if in := n.look(name); in.Starts != round+2 || in.Notified != want {
					t.Fatalf("restored: %+v", in)
				}
				n.until("the next count", func() bool { return n.count(name) > at })
				n.notify(name, "RELOADING=1\nSTATUS=after")
				want.Ready, want.Status = false, "after"
				n.untilNotified(name, want)
			}
		})
	}
}

// Who holds on to the socket, as some libraries do, has a connection to outside: there is no image of it, and it goes on.
func TestNotifyHeld(t *testing.T) {
	kerneltest.Criu(t)
	n := open(t)
	n.run(waited(n.subject("web", "herald")))
	n.until("up", func() bool { return strings.Contains(n.output("web"), "up\n") })
	if _, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{}); err == nil || !strings.Contains(err.Error(), "unix socket outside of its container") {
		t.Errorf("got %v", err)
	}
	if failed := n.ask("web"); failed != "" {
		t.Error(failed)
	}
	n.untilNotified("web", spec.Notified{Socket: true, Started: true, Ready: true})
}

// An image has the socket that its run had, or none: mounts cannot come or go with a restore, so one of another kind does not fit.
func TestNotifyOtherwise(t *testing.T) {
	kerneltest.Criu(t)
	n := open(t)
	plain := n.container("count", counter)
	for _, c := range []struct{ was, is spec.Container }{{plain, waited(plain)}, {waited(plain), plain}} {
		n.run(c.was)
		n.until("a count", func() bool { return n.count("count") >= 3 })
		img, err := n.Checkpoint(t.Context(), "count", 1, spec.CheckpointOptions{Stop: true, Keep: true, Cause: "test"})
		must(t, err)
		must(t, n.Destroy(t.Context(), "count", 1, false))
		must(t, n.Create(t.Context(), c.is, 1, spec.DefaultsVersion))
		if err := n.Restore(t.Context(), "count", 1, img.Ref()); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "spec.probes.readiness") {
			t.Errorf("got %v", err)
		}
		must(t, n.Destroy(t.Context(), "count", 1, false))
	}
}
