package machine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// soak tells whether the long campaign runs rather than the sample.
var soak = os.Getenv("RECONCILER_SOAK") != ""

func sample(few, all int) int {
	if soak {
		return all
	}
	return few
}

// counting runs a counter that has counted.
func (n *node) counting(name string, change ...func(*spec.ContainerSpec)) {
	n.t.Helper()
	c := n.container(name, counter)
	for _, f := range change {
		f(&c.Spec)
	}
	n.run(c)
	n.until("a count", func() bool { return n.count(name) > 3 })
}

// moody is a criu that works, or as the file mood says does something else when it is asked to.
const moody = `#!/bin/sh
case "$*" in *swrk*) case "$(cat %[1]s/mood 2>/dev/null)" in
hangs) exec sleep 100000 ;;
ends) exit 1 ;;
dies) kill -9 $$ ;;
raves) echo raving >&3; exec sleep 100000 ;;
writes) head -c 3000000 /dev/zero >&3; exec sleep 100000 ;;
stops) kill -STOP $$ ;;
esac ;; esac
exec %[2]s "$@"
`

// withMoods gives the node such a criu.
func (n *node) withMoods() (set func(mood string)) {
	n.t.Helper()
	tool := kerneltest.Criu(n.t).Tool
	must(n.t, os.WriteFile(n.path("criu"), fmt.Appendf(nil, moody, n.dir, tool.Path), 0o755))
	n.config.CRIU = n.path("criu")
	n.reopen()
	return func(mood string) { must(n.t, os.WriteFile(n.path("mood"), []byte(mood), 0o600)) }
}

// A criu that hangs, ends, raves or dies costs an image, and nobody notices; nor when whoever asked gives up.
func TestCriuFails(t *testing.T) {
	n := open(t)
	set := n.withMoods()
	n.counting("web")
	img, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{})
	must(t, err)
	for i, c := range []struct{ mood, says string }{
		{"hangs", "deadline"}, {"stops", "deadline"}, {"ends", "ended, or was killed"}, {"dies", "ended, or was killed"}, {"raves", "protocol"}, {"writes", "protocol"},
	} {
		before := n.now("web")
		set(c.mood)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := n.Checkpoint(ctx, "web", 1, spec.CheckpointOptions{Stop: i%2 == 0})
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("a criu that %s: got %v, want %s", c.mood, err, c.says)
		}
		n.unharmed("a criu that "+c.mood, before)
	}
	set("")
	n.end("web")
	for _, mood := range []string{"hangs", "stops", "ends", "dies", "raves", "writes"} {
		before := n.now("web")
		set(mood)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := n.Restore(ctx, "web", 1, img.Ref())
		cancel()
		if err == nil {
			t.Errorf("restored by a criu that %s", mood)
		}
		n.unharmed("a restorer that "+mood, before)
	}
	set("")
	must(t, n.Restore(t.Context(), "web", 1, img.Ref()))
	n.goesOn("restored after all", "web")
}

// warm takes images until all is known of kernel and criu, and gives the last.
func (n *node) warm(name string) (img spec.Image) {
	n.t.Helper()
	for range 2 {
		var err error
		img, err = n.Checkpoint(n.t.Context(), name, 1, spec.CheckpointOptions{Keep: true})
		must(n.t, err)
	}
	return img
}

// end kills a container.
func (n *node) end(name string) {
	n.t.Helper()
	must(n.t, n.Kill(n.t.Context(), name, 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
}

// moments are points of time in a verb that takes some.
func moments(few, all int, took time.Duration) (list []time.Duration) {
	count := sample(few, all)
	for i := range count {
		list = append(list, took*time.Duration(i)/time.Duration(count))
	}
	return list
}

// meddle does something to the node's criu at a time after its start, while a verb runs, and tells whether there was one.
func (n *node) meddle(after time.Duration, do func(criu int), verb func() error) (met bool, err error) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		criu := n.firstCriu(ended)
		if criu == 0 {
			return
		}
		time.Sleep(after)
		select {
		case <-ended:
		default:
			met = true
			do(criu)
		}
	}()
	err = verb()
	close(ended)
	<-done
	return met, err
}

func kill(pid int) { _ = unix.Kill(pid, unix.SIGKILL) }

// Whenever criu is killed in a dump the container goes on, but for one moment that is criu's alone: a process that is just being made to carry out a system call
// for it dies of what it was to do then (SIGTRAP). Its exit is told as any other, and a start is a start. In a restore, there is nothing.
func TestCriuKilled(t *testing.T) {
	n := open(t)
	n.counting("web")
	first := n.warm("web")
	hits, crashed := 0, 0
	for i, after := range moments(10, 100, time.Duration(first.Took)) {
		what := fmt.Sprintf("criu killed %v after the start of a dump", after)
		before := n.now("web")
		stop := i%2 == 1
		met, err := n.meddle(after, kill, func() error {
			_, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{Stop: stop})
			return err
		})
		at := n.count("web")
		n.until(what+": an end, or more", func() bool { return n.look("web").Phase == spec.InstanceExited || n.count("web") > at })
		switch in := n.look("web"); {
		case in.Exit != nil && in.Exit.Reason == spec.ExitCheckpointed:
			n.resume(what, "web")
		case in.Phase == spec.InstanceExited && met && slices.Contains([]string{"SIGTRAP", "SIGSEGV", "SIGILL"}, in.Exit.Signal):
			crashed++
			must(t, n.Start(t.Context(), "web", 1))
			n.goesOn(what, "web")
			n.nothingHalf(what, before)
		default:
			n.unharmed(what, before)
		}
		if met && err != nil {
			hits++
		}
	}
	t.Logf("%d dumps ended so, and %d times the container", hits, crashed)
	if hits == 0 || crashed > 1+hits/4 {
		t.Errorf("%d dumps were hit, and %d containers died", hits, crashed)
	}
	n.end("web")
	for range 3 { // every cache is warm
		must(t, n.Restore(t.Context(), "web", 1, first.Ref()))
		n.end("web")
	}
	began := time.Now()
	must(t, n.Restore(t.Context(), "web", 1, first.Ref()))
	took := time.Since(began)
	n.end("web")
	before := n.now("web")
	hits = 0
	for _, after := range moments(10, 100, took) {
		what := fmt.Sprintf("criu killed %v after the start of a restore", after)
		_, err := n.meddle(after, kill, func() error { return n.Restore(t.Context(), "web", 1, first.Ref()) })
		if err == nil {
			n.goesOn(what, "web")
			n.end("web")
		} else {
			hits++
			if in := n.look("web"); in.Phase != spec.InstanceExited {
				t.Errorf("%s: %v, but it is %+v", what, err, in)
			}
		}
		n.nothingHalf(what, before)
	}
	t.Logf("%d restores ended so", hits)
	if hits == 0 {
		t.Error("no restore was hit")
	}
	must(t, n.Restore(t.Context(), "web", 1, first.Ref()))
	n.goesOn("restored after all", "web")
}

// resume restores a container that has ended with its image, which goes on where it was.
func (n *node) resume(what, name string) {
	n.t.Helper()
	images, err := n.Images(n.t.Context(), name)
	must(n.t, err)
	at := n.count(name)
	if err := n.Restore(n.t.Context(), name, 1, images[len(images)-1].Ref()); err != nil {
		n.t.Fatalf("%s: %v", what, err)
	}
	n.goesOn(what, name)
	if got := n.count(name); got < at {
		n.t.Errorf("%s: after %d comes %d", what, at, got)
	}
	n.nothingHalf(what, state{names: []string{name}})
}

// A criu that stops in the middle of a dump is given up when whoever waits for it is out of patience, and takes back what it did: nobody is left with its code. That is
// so at every call by which it changes the container.
func TestCriuStops(t *testing.T) {
	n := open(t)
	n.counting("web")
	img := n.warm("web")
	for _, after := range moments(10, 100, time.Duration(img.Took)) {
		what := fmt.Sprintf("criu stopped %v after its start", after)
		before := n.now("web")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond+after)
		_, err := n.meddle(after, func(criu int) { _ = unix.Kill(criu, unix.SIGSTOP) }, func() error {
			_, err := n.Checkpoint(ctx, "web", 1, spec.CheckpointOptions{})
			return err
		})
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		n.unharmed(what, before)
	}
}
