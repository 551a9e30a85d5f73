package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// take takes an image with which containers end, or not.
func (n *node) take(name string, stop bool) (spec.Image, error) {
	return n.Checkpoint(n.t.Context(), name, 1, spec.CheckpointOptions{Stop: stop})
}

// withDisk puts a small disk below the node before it is opened again.
func withDisk(t *testing.T, size string, elem ...string) *node {
	n := open(t)
	must(t, n.Shutdown(t.Context())) // its keeper would not find its own directory any more
	must(t, n.Close())
	n.smallDisk(size, elem...)
	var err error
	n.Node, err = n.openNode()
	must(t, err)
	return n
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// Where no room is left for an image there is none, and no more room is taken; with room there is one again.
func TestNoRoom(t *testing.T) {
	n := withDisk(t, "32m", "state", "checkpoints")
	n.run(n.heapContainer("web", 20, "idle"))
	n.until("a count", func() bool { return n.count("web") > 3 })
	before := n.now("web")
	filler := n.path("state", "checkpoints", "filler")
	fill(t, filler)
	for _, stop := range []bool{false, true} {
		if _, err := n.take("web", stop); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("without room: got %v, want ENOSPC", err)
		}
		n.unharmed("without room", before)
	}
	must(t, os.Remove(filler))
	_, err := n.take("web", true)
	must(t, err)
	n.resume("with room", "web")
}

// Without room for criu's log and statistics an image may be taken or not. Nobody is harmed.
func TestNoRoomForLogs(t *testing.T) {
	n := withDisk(t, "24m", "run")
	n.counting("web")
	before := n.now("web")
	fill(t, n.path("run", "filler"))
	_, err := n.take("web", false)
	t.Logf("without room: %v", err)
	n.unharmed("without room for logs", before)
	must(t, os.Remove(n.path("run", "filler")))
	_, err = n.take("web", true)
	must(t, err)
	n.resume("with room", "web")
}

// The files of a container count as well, which are written when everything stands still.
func TestNoRoomForFiles(t *testing.T) {
	n := withDisk(t, "32m", "state", "checkpoints")
	n.counting("web", func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/scratch", Options: []string{"size=64m"}}}
	})
	_, _, err := n.sh("web", "dd if=/dev/urandom of=/scratch/large bs=1M count=48")
	must(t, err)
	before := n.now("web")
	for _, stop := range []bool{false, true} {
		if img, err := n.take("web", stop); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("without room: got %+v, %v, want ENOSPC", img, err)
		}
		n.unharmed("without room for files", before)
	}
	_, _, err = n.sh("web", "rm /scratch/large")
	must(t, err)
	_, err = n.take("web", true)
	must(t, err)
	n.resume("with room", "web")
}

// Images may be on another file system than all else, and nobody may be able to write there any more.
func TestNobodyMayWrite(t *testing.T) {
	n := withDisk(t, "64m", "state")
	n.counting("web")
	before := n.now("web")
	immutable := func(on uint32) {
		dir, err := os.Open(n.path("state", "checkpoints"))
		must(t, err)
		defer dir.Close()
		must(t, unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, int(on)))
	}
	immutable(0x10) // FS_IMMUTABLE_FL, see ioctl_iflags(2)
	if _, err := n.take("web", true); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want EPERM", err)
	}
	n.unharmed("with images that nobody may write", before)
	immutable(0)
	_, err := n.take("web", true)
	must(t, err)
	n.resume("writable", "web")
}

// A process that is stopped does not keep an image from being taken, and is stopped in it.
func TestStoppedTask(t *testing.T) {
	n := open(t)
	n.run(n.container("web", `sh -c 'kill -STOP $$; echo 1000' & `+counter))
	n.until("a count", func() bool { return n.count("web") > 3 })
	n.until("one that is stopped", func() bool { return len(n.stopped("web")) == 1 })
	pid := n.look("web").Pid
	for _, stop := range []bool{false, true} {
		_, err := n.take("web", stop)
		must(t, err)
		if stop {
			images, err := n.Images(t.Context(), "web")
			must(t, err)
			must(t, n.Restore(t.Context(), "web", 1, images[1].Ref()))
		} else if now := n.look("web").Pid; now != pid {
			t.Errorf("pid %d became %d", pid, now)
		}
		n.goesOn("with one that is stopped", "web")
		if left := n.stopped("web"); len(left) != 1 {
			t.Errorf("stopped: %q", left)
		}
	}
	_, _, err := n.sh("web", "kill -CONT -1")
	must(t, err)
	n.until("a word", func() bool { return strings.Contains(n.output("web"), "1000") })
}

// Who came in from outside would be lost: an image waits for its end.
func TestFurtherProcess(t *testing.T) {
	n := open(t)
	n.counting("web")
	session, err := n.Exec(t.Context(), "web", 1, spec.Exec{Command: []string{"sleep", "100000"}})
	must(t, err)
	before := n.now("web")
	if _, err := n.take("web", true); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "further process") {
		t.Errorf("got %v", err)
	}
	n.unharmed("with a further process", before)
	must(t, session.Close())
	_, err = n.take("web", true)
	must(t, err)
	n.resume("without", "web")
}

// A criu that is not there, too old, or another one than it was, is not trusted.
func TestAnotherCriu(t *testing.T) {
	n := open(t)
	set := n.withMoods()
	n.counting("web")
	good, err := os.ReadFile(n.path("criu"))
	must(t, err)
	set("")
	_, err = n.take("web", false)
	must(t, err)
	for what, program := range map[string]string{
		"one that is too old": "#!/bin/sh\ncase \"$*\" in *version*) echo Version: 3.15;; *) exit 1;; esac\n",
		"no program":          "nothing",
		"none":                "",
	} {
		before := n.now("web")
		must(t, os.Remove(n.path("criu")))
		if program != "" {
			must(t, os.WriteFile(n.path("criu"), []byte(program), 0o755))
		}
		for _, stop := range []bool{false, true} {
			if img, err := n.take("web", stop); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: got %+v, %v", what, img, err)
			}
			n.unharmed(what, before)
		}
		_ = os.Remove(n.path("criu"))
		must(t, os.WriteFile(n.path("criu"), good, 0o755))
		_, err := n.take("web", false)
		must(t, err)
	}
}

// Images that are asked for at the same moment are all there or were refused.
func TestImagesAtOnce(t *testing.T) {
	n := open(t)
	n.counting("web", func(s *spec.ContainerSpec) { s.Checkpoint.Retain = 100 })
	before := n.now("web")
	errs := make([]error, 6)
	var work sync.WaitGroup
	for i := range errs {
		work.Go(func() { _, errs[i] = n.take("web", false) })
	}
	work.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else if !errors.Is(err, spec.ErrBusy) {
			t.Error(err)
		}
	}
	if images, err := n.Images(t.Context(), "web"); err != nil || len(images) != taken || taken == 0 {
		t.Errorf("%d images, %v, of %d", len(images), err, taken)
	}
	n.unharmed("many at once", before)
}

// Whoever ends, pauses or changes a container while an image is taken of it, or of another of its group, gets what was asked for.
func TestImageAndOtherVerbs(t *testing.T) {
	for name, c := range map[string]struct {
		verb func(n *node) error
		want func(in spec.Instance) bool
	}{
		"pause": {
			func(n *node) error { return n.Pause(n.t.Context(), "pair-b", 1) },
			func(in spec.Instance) bool { return in.Phase == spec.InstancePaused },
		},
		"resume": {
			func(n *node) error { return n.Resume(n.t.Context(), "pair-b", 1) },
			func(in spec.Instance) bool { return in.Phase == spec.InstanceRunning },
		},
		"stop": {
			func(n *node) error { return n.Stop(n.t.Context(), "pair-b", 1, "SIGTERM", time.Second) },
			func(in spec.Instance) bool { return in.Phase == spec.InstanceExited },
		},
		"kill": {
			func(n *node) error { return n.Kill(n.t.Context(), "pair-b", 1, "SIGKILL") },
			func(in spec.Instance) bool { return in.Phase == spec.InstanceExited },
		},
		"destroy": {
			func(n *node) error { return n.Destroy(n.t.Context(), "pair-b", 1, false) },
			func(in spec.Instance) bool { return in.Phase == "" },
		},
		"update": {
			func(n *node) error {
				c := n.pair("pair-b")
				c.Spec.Resources.Memory.Max = spec.NewLimit(64 << 20)
				return n.Update(n.t.Context(), c, 1)
			},
			func(in spec.Instance) bool {
				return in.Phase == spec.InstanceRunning && in.Resources.Memory.Max == spec.NewLimit(64<<20)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			for round := range sample(3, 20) {
				for _, member := range []string{"pair-a", "pair-b"} {
					if n.look(member).Phase == "" {
						n.run(n.pair(member))
					}
				}
				n.until("counts", func() bool { return n.count("pair-a") > 3 && n.count("pair-b") > 3 })
				before := n.now("pair-a", "pair-b")
				for _, member := range []string{"pair-a", "pair-b"} {
					if before.instances[member].Phase != spec.InstanceRunning {
						t.Fatalf("%+v", before.instances)
					}
				}
				took := make(chan error, 1)
				go func() {
					_, err := n.take("pair-a", false)
					took <- err
				}()
				time.Sleep(time.Duration(round) * 30 * time.Millisecond)
				must(t, c.verb(n))
				err := <-took
				n.until("what was asked for", func() bool { return c.want(n.look("pair-b")) })
				if in := n.look("pair-a"); name != "pause" && (in.Phase != spec.InstanceRunning || in.Pid != before.instances["pair-a"].Pid) {
					t.Errorf("%+v", in)
				}
				if name == "pause" {
					must(t, n.Resume(t.Context(), "pair-b", 1))
				}
				n.goesOn(name, "pair-a")
				n.nothingHalf(fmt.Sprintf("%s: %v", name, err), state{names: []string{"pair-a"}})
				if n.look("pair-b").Phase != spec.InstanceRunning {
					must(t, n.Destroy(t.Context(), "pair-b", 1, false))
				}
			}
		})
	}
}

// pair is a member of a group of two.
func (n *node) pair(name string) spec.Container {
	c := n.container(name, counter)
	c.Spec.Group = "pair"
	return c
}

// A container that ends by itself while an image is taken of it has ended, whatever became of the image, and that is whole.
func TestEndsInTheMiddle(t *testing.T) {
	n := open(t)
	n.counting("warm")
	took := time.Duration(n.warm("warm").Took)
	ended, saved := 0, 0
	for i, after := range moments(8, 100, took) {
		name := fmt.Sprintf("web-%d", i)
		n.run(n.container(name, fmt.Sprintf(`echo up; sleep %.3f; exit 7`, 0.05+after.Seconds())))
		n.until("up", func() bool { return strings.Contains(n.output(name), "up") })
		time.Sleep(50 * time.Millisecond)
		img, err := n.take(name, i%2 == 0)
		if err == nil {
			saved++
			if img.Stopped {
				must(t, n.Restore(t.Context(), name, 1, img.Ref()))
			}
		} else {
			ended++
		}
		n.until("its end", func() bool { return n.look(name).Phase == spec.InstanceExited })
		if exit := n.look(name).Exit; exit.Code != 7 {
			t.Errorf("%s: %v: ended with %+v", name, err, exit)
		}
		n.nothingHalf(name, state{})
		must(t, n.Destroy(t.Context(), name, 1, false))
	}
	t.Logf("%d ended, %d were saved", ended, saved)
}

// Whoever asks for an image may change their mind at any moment.
func TestCalledOff(t *testing.T) {
	n := open(t)
	n.counting("web")
	took := time.Duration(n.warm("web").Took)
	off := 0
	for i, after := range moments(16, 300, 2*took) {
		what := fmt.Sprintf("called off after %v", after)
		before := n.now("web")
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := n.Checkpoint(ctx, "web", 1, spec.CheckpointOptions{Stop: i%2 == 0})
		cancel()
		if err != nil {
			off++
			n.unharmed(what, before)
		} else if i%2 == 0 {
			n.resume(what, "web")
		}
	}
	t.Logf("%d were called off", off)
	if off < 3 {
		t.Errorf("%d were called off", off)
	}
}

// An image that would stop its container for too long is given up.
func TestTooLongAPause(t *testing.T) {
	n := open(t)
	c := n.heapContainer("web", 256, "idle")
	c.Spec.Checkpoint.MaxPause = spec.Duration(10 * time.Millisecond)
	n.run(c)
	n.until("a count", func() bool { return n.count("web") > 3 })
	before := n.now("web")
	for range 3 {
		if img, err := n.take("web", false); err == nil || !strings.Contains(err.Error(), "stood still for more than 10ms") {
			t.Errorf("got %+v, %v", img, err)
		}
		n.unharmed("too long a pause", before)
	}
	must(t, os.WriteFile(filepath.Join("/proc", fmt.Sprint(n.look("web").Pid), "root", "look"), nil, 0o600))
	n.goesOn("with all its memory", "web")
	if strings.Contains(n.output("web"), "WRONG") {
		t.Error("its memory has changed")
	}
	// To end with its image, it may stand still as long as that takes.
	_, err := n.take("web", true)
	must(t, err)
	n.resume("restored", "web")
}

// A container that makes processes as fast as it can is saved and restored all the same.
func TestForksLikeMad(t *testing.T) {
	n := open(t)
	n.run(n.container("web", `for k in 1 2 3 4; do (while :; do true | true; done) & done; `+counter))
	n.until("a count", func() bool { return n.count("web") > 3 })
	for range sample(3, 50) {
		before := n.now("web")
		_, err := n.take("web", false)
		must(t, err)
		n.unharmed("forks", before)
		_, err = n.take("web", true)
		must(t, err)
		n.resume("restored", "web")
	}
}

// A paused container stays so, whatever becomes of its image.
func TestPausedThroughout(t *testing.T) {
	n := open(t)
	n.counting("web")
	took := time.Duration(n.warm("web").Took)
	must(t, n.Pause(t.Context(), "web", 1))
	for i, after := range moments(6, 100, took) {
		what := fmt.Sprintf("after %v", after)
		before := n.now("web")
		if i%2 == 0 {
			what = "called off " + what
			ctx, cancel := context.WithTimeout(t.Context(), after)
			_, _ = n.Checkpoint(ctx, "web", 1, spec.CheckpointOptions{})
			cancel()
		} else {
			what = "criu stopped " + what
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = n.meddle(after, func(pid int) { _ = unix.Kill(pid, unix.SIGSTOP) }, func() error {
				_, err := n.Checkpoint(ctx, "web", 1, spec.CheckpointOptions{})
				return err
			})
			cancel()
		}
		n.unharmed(what, before)
	}
	must(t, n.Resume(t.Context(), "web", 1))
	n.goesOn("resumed", "web")
}
