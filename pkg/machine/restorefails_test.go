package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// counted runs a counter until it has ended with its image.
func (n *node) counted(name string, change ...func(*spec.ContainerSpec)) spec.Image {
	n.t.Helper()
	n.counting(name, change...)
	img, err := n.take(name, true)
	must(n.t, err)
	n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
	return img
}

// What a container was saved with may have changed since: it is refused, nothing is left of the attempt, and once it is as it was the image is good.
func TestWhatHasChanged(t *testing.T) {
	for name, c := range map[string]struct {
		spec   func(n *node, s *spec.ContainerSpec)
		before func(n *node)               // while it runs
		spoil  func(n *node) (mend func()) // once it is saved
		says   string
		hold   string // what it opens besides
	}{
		"the rootfs is gone": {
			spoil: func(n *node) func() { return n.moved("rootfs") }, says: "rootfs",
		},
		"a bind's source is gone": {
			spec: bindData, spoil: func(n *node) func() { return n.moved("data") }, says: "data",
		},
		"a bind's source is a file": {
			spec: bindData, says: "data", hold: "exec 6</data; ",
			spoil: func(n *node) func() {
				mend := n.moved("data")
				must(n.t, os.WriteFile(n.path("data"), nil, 0o644))
				return func() { must(n.t, os.Remove(n.path("data"))); mend() }
			},
		},
		"an open file has grown": {
			before: func(n *node) {
				_, _, err := n.sh("web", "kill -USR1 1")
				must(n.t, err)
			},
			spoil: func(n *node) func() {
				old, err := os.ReadFile(n.path("rootfs", "etc", "marker"))
				must(n.t, err)
				must(n.t, os.WriteFile(n.path("rootfs", "etc", "marker"), []byte("more than there was"), 0o644))
				return func() { must(n.t, os.WriteFile(n.path("rootfs", "etc", "marker"), old, 0o644)) }
			},
			says: "marker",
		},
		"an open file is gone": {
			spoil: func(n *node) func() { return n.moved("rootfs", "etc", "marker") }, says: "marker",
		},
		"its program is another one": {
			spoil: func(n *node) func() {
				old, err := os.ReadFile(n.path("rootfs", "bin", "busybox"))
				must(n.t, err)
				other := append(old[:len(old):len(old)], 0)
				n.replace(other, "rootfs", "bin", "busybox")
				return func() { n.replace(old, "rootfs", "bin", "busybox") }
			},
			says: "busybox",
		},
		"its program is another one of the same size": {
			spoil: func(n *node) func() {
				old, err := os.ReadFile(n.path("rootfs", "bin", "busybox"))
				must(n.t, err)
				other := append([]byte(nil), old...)
				for i := len(other) / 2; i < len(other)/2+1000; i++ {
					other[i] ^= 0xff
				}
				n.replace(other, "rootfs", "bin", "busybox")
				return func() { n.replace(old, "rootfs", "bin", "busybox") }
			},
			says: "busybox",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			must(t, os.Mkdir(n.path("data"), 0o755))
			n.counting("web", func(s *spec.ContainerSpec) {
				s.Command = []string{"/bin/sh", "-c", "exec 5</etc/marker; " + c.hold + counter}
				if c.spec != nil {
					c.spec(n, s)
				}
			})
			img, err := n.take("web", true)
			must(t, err)
			n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
			before := n.now("web")
			mend := c.spoil(n)
			err = n.Restore(t.Context(), "web", 1, img.Ref())
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("restored: %v, want %s", err, c.says)
			} else if !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
				t.Logf("may pass: %v", err)
			}
			if in := n.look("web"); in.Phase != spec.InstanceExited || in.Starts != 1 {
				t.Errorf("got %+v", in)
			}
			n.nothingHalf(name, before)
			mend()
			n.resume("as it was", "web")
		})
	}
}

func bindData(n *node, s *spec.ContainerSpec) {
	s.Mounts = []spec.Mount{{Type: "bind", Source: n.path("data"), Destination: "/data"}}
}

// moved takes a file out of its place; mend brings it back.
func (n *node) moved(elem ...string) (mend func()) {
	n.t.Helper()
	path := n.path(elem...)
	must(n.t, os.Rename(path, path+".moved"))
	return func() { must(n.t, os.Rename(path+".moved", path)) }
}

// replace replaces a program, as an upgrade does: the file is another one.
func (n *node) replace(text []byte, elem ...string) {
	n.t.Helper()
	path := n.path(elem...)
	must(n.t, os.WriteFile(path+".new", text, 0o755))
	must(n.t, os.Rename(path+".new", path))
}

// A limit that an image does not fit ends its restore, and no other process; with the limit lifted it is restored.
func TestLimitsBelowAnImage(t *testing.T) {
	for name, c := range map[string]struct {
		limit func(*spec.ContainerSpec)
	}{
		"memory": {func(s *spec.ContainerSpec) { s.Resources.Memory.Max = spec.NewLimit(8 << 20) }},
		"pids":   {func(s *spec.ContainerSpec) { s.Resources.Pids.Max = spec.NewLimit(1) }},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			web := n.heapContainer("web", 64, "idle")
			n.run(web)
			n.counting("other")
			n.until("a count", func() bool { return n.count("web") > 3 })
			img, err := n.take("web", true)
			must(t, err)
			n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
			before := n.now("web", "other")
			limited := web
			c.limit(&limited.Spec)
			must(t, n.Update(t.Context(), limited, 1))
			if err := n.Restore(t.Context(), "web", 1, img.Ref()); err == nil {
				t.Error("restored")
			} else {
				t.Log(err)
			}
			n.unharmed(name, before)
			must(t, n.Update(t.Context(), web, 1))
			n.resume("with the limit lifted", "web")
		})
	}
}

// An image that is removed while it is restored is there until then, or was not; a restore that is called off leaves nothing.
func TestRestoreAndOthers(t *testing.T) {
	n := open(t)
	img := n.counted("web")
	began := time.Now()
	n.resume("once", "web")
	took := time.Since(began)
	n.end("web")
	for i, after := range moments(8, 100, took) {
		what := fmt.Sprintf("after %v", after)
		before := n.now("web")
		ctx, cancel := context.WithTimeout(t.Context(), after+time.Millisecond)
		if i%2 == 1 {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		hold := n.inUse(img)
		var work sync.WaitGroup
		work.Go(func() {
			time.Sleep(after)
			if err := n.RemoveImage(t.Context(), img.Ref()); err == nil {
				t.Errorf("%s: the image that is restored from was removed", what)
			} else if !errors.Is(err, spec.ErrBusy) {
				t.Error(err)
			}
		})
		err := n.Restore(ctx, "web", 1, img.Ref())
		work.Wait()
		hold()
		cancel()
		if err == nil {
			n.goesOn(what, "web")
			n.end("web")
			n.nothingHalf(what, state{names: []string{"web"}})
			continue
		}
		if in := n.look("web"); in.Phase != spec.InstanceExited {
			t.Errorf("%s: %v, %+v", what, err, in)
		}
		n.nothingHalf(what, before)
	}
	must(t, n.RemoveImage(t.Context(), img.Ref()))
	if err := n.Restore(t.Context(), "web", 1, img.Ref()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("from an image that is not there: %v", err)
	}
}

// inUse holds an image as a restore does.
func (n *node) inUse(img spec.Image) (done func()) {
	n.t.Helper()
	dir, err := os.Open(n.path("state", "checkpoints", img.Ref()))
	must(n.t, err)
	must(n.t, unix.Flock(int(dir.Fd()), unix.LOCK_SH))
	return func() { dir.Close() }
}
