package machine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// feeders are the processes that bring memory to the containers of a name: they are in cgroups beside those of its instances.
func (n *node) feeders(name string) (pids []int) {
	n.t.Helper()
	groups, err := filepath.Glob(filepath.Join(filepath.Dir(n.look(name).Cgroup), "feed-*", "cgroup.procs"))
	must(n.t, err)
	for _, group := range groups {
		text, _ := os.ReadFile(group)
		for _, line := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(line)
			must(n.t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// restoreHeld restores the first instance of a name, and stops its feeder, so that memory does not come any more. One that was faster gets another try.
func (n *node) restoreHeld(name, ref string) int {
	n.t.Helper()
	for range 20 {
		must(n.t, n.Restore(n.t.Context(), name, 1, ref))
		if pids := n.feeders(name); len(pids) == 1 && unix.Kill(pids[0], unix.SIGSTOP) == nil {
			return pids[0]
		}
		must(n.t, n.Kill(n.t.Context(), name, 1, "SIGKILL"))
		n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
	}
	n.t.Fatal("never got hold of a feeder")
	return 0
}

func lazily(c spec.Container) spec.Container {
	c.Spec.Checkpoint.Lazy = true
	return c
}

// The container runs before its memory is there, and all of it comes, as it was; then nothing is left of who brought it. And once more.
func TestLazy(t *testing.T) {
	n := open(t)
	c := lazily(n.heapContainer("heap", 128))
	img := n.saved(t, c)
	for range 2 {
		at := n.count("heap")
		began := time.Now()
		must(t, n.Restore(t.Context(), "heap", 1, img.Ref()))
		t.Logf("runs after %v, filling: %v", time.Since(began), n.look("heap").Filling)
		n.until("two looks at all of it", func() bool { return n.count("heap") >= at+2 })
		n.until("the end of the feeder", func() bool { return !n.look("heap").Filling })
		if pids := n.feeders("heap"); len(pids) > 0 {
			t.Errorf("processes %v are left", pids)
		}
		groups, err := filepath.Glob(filepath.Join(filepath.Dir(n.look("heap").Cgroup), "feed-*"))
		must(t, err)
		if len(groups) > 0 {
			t.Errorf("cgroups %v are left", groups)
		}
		img, err = n.Checkpoint(t.Context(), "heap", 1, spec.CheckpointOptions{Stop: true})
		must(t, err)
		n.until("the end", func() bool { return n.look("heap").Phase == spec.InstanceExited })
	}
	if strings.Contains(n.output("heap"), "WRONG") {
		t.Error("memory is not as it was")
	}
}

// Several processes, two of them with much memory and one that makes others all the time, get it at once.
func TestLazyTree(t *testing.T) {
	n := open(t)
	c := lazily(n.heapContainer("heap", 48))
	c.Spec.Command = []string{"/bin/sh", "-c", "/bin/subject heap 48 >/one & /bin/subject heap 48 >/two & while :; do sleep 0.002; i=$((i+1)); tail -n 1 /one /two | grep . ; echo $i; done"}
	img := n.saved(t, c)
	must(t, n.Restore(t.Context(), "heap", 1, img.Ref()))
	n.until("the end of the feeder", func() bool { return !n.look("heap").Filling })
	said, _, err := n.sh("heap", "for f in /one /two; do a=$(wc -l <$f); while [ $(wc -l <$f) -lt $((a+3)) ]; do sleep 0.01; done; grep WRONG $f; done; echo done")
	must(t, err)
	if said != "done\n" || n.look("heap").Phase != spec.InstanceRunning {
		t.Errorf("got %q, %+v", said, n.look("heap"))
	}
}

// While memory comes the image is in use, no other can be taken, and neither agent nor keeper is needed.
func TestLazyOutlives(t *testing.T) {
	n := open(t)
	img := n.saved(t, lazily(n.heapContainer("heap", 128, "idle")))
	pid := n.restoreHeld("heap", img.Ref())
	if in := n.look("heap"); !in.Filling {
		t.Errorf("got %+v, want it filling", in)
	}
	if err := n.RemoveImage(t.Context(), img.Ref()); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("removing the image: %v, want it busy", err)
	}
	if _, err := n.OpenDump(t.Context(), "heap", 1); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("a dump: %v, want it busy", err)
	}
	n.killKeeper()
	n.reopen()
	if in := n.look("heap"); !in.Filling || in.Phase != spec.InstanceRunning {
		t.Errorf("got %+v, want it filling", in)
	}
	if err := n.RemoveImage(t.Context(), img.Ref()); !errors.Is(err, spec.ErrBusy) {
		t.Errorf("removing the image: %v, want it busy", err)
	}
	must(t, unix.Kill(pid, unix.SIGCONT))
	_, _, err := n.sh("heap", ": >/look")
	must(t, err)
	at := n.count("heap")
	n.until("a look at all of it", func() bool { return n.count("heap") >= at+2 })
	n.until("the end of the feeder", func() bool { return !n.look("heap").Filling })
	if in := n.look("heap"); in.Phase != spec.InstanceRunning {
		t.Errorf("got %+v, want it running", in)
	}
	must(t, n.RemoveImage(t.Context(), img.Ref()))
}

// A container that can never have its memory is killed before it sees that, and its exit says why; the next restore brings memory first.
func TestLazyLost(t *testing.T) {
	for name, lose := range map[string]func(*node, int){
		"feeder": func(n *node, pid int) { must(n.t, unix.Kill(pid, unix.SIGKILL)) },
		"while the keeper sleeps": func(n *node, pid int) {
			keeper := n.stopKeeper()
			must(n.t, unix.Kill(pid, unix.SIGKILL))
			time.Sleep(200 * time.Millisecond) // for whoever would see it
			must(n.t, unix.Kill(keeper, unix.SIGCONT))
		},
		"both": func(n *node, pid int) {
			keeper := n.stopKeeper()
			must(n.t, unix.Kill(pid, unix.SIGKILL))
			must(n.t, unix.Kill(keeper, unix.SIGKILL))
			n.awaitEnd(keeper)
			n.reopen()
		},
		"after an adoption": func(n *node, pid int) {
			n.killKeeper()
			n.reopen()
			must(n.t, unix.Kill(pid, unix.SIGKILL))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			img := n.saved(t, lazily(n.heapContainer("heap", 64)))
			lose(n, n.restoreHeld("heap", img.Ref()))
			n.until("the end", func() bool { return n.look("heap").Phase == spec.InstanceExited })
			in := n.look("heap")
			saw := strings.Contains(n.output("heap"), "WRONG") && name != "both" // until the next keeper nobody held what was to come
			if in.Exit.Reason != spec.ExitMemoryLost || in.Filling || saw {
				t.Errorf("got %+v, exit %+v", in, in.Exit)
			}
			must(t, n.Restore(t.Context(), "heap", 1, img.Ref()))
			if in := n.look("heap"); in.Filling {
				t.Errorf("got %+v, want its memory to be there", in)
			}
			at := n.count("heap")
			n.until("two looks at all of it", func() bool { return n.count("heap") >= at+2 })
		})
	}
}

// A container that is destroyed, or ends, while its memory comes takes the feeder with it.
func TestLazyEnds(t *testing.T) {
	n := open(t)
	img := n.saved(t, lazily(n.heapContainer("heap", 64, "idle")))
	pid := n.restoreHeld("heap", img.Ref())
	must(t, n.Kill(t.Context(), "heap", 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look("heap").Phase == spec.InstanceExited })
	n.awaitEnd(pid)
	if in := n.look("heap"); in.Exit.Reason != spec.ExitKilled {
		t.Errorf("exit: got %+v", in.Exit)
	}
	pid = n.restoreHeld("heap", img.Ref())
	must(t, n.Destroy(t.Context(), "heap", 1, false))
	n.awaitEnd(pid)
}

// killKeeper kills the node's keeper and waits until it is gone.
func (n *node) killKeeper() {
	n.t.Helper()
	pid := n.stopKeeper()
	must(n.t, unix.Kill(pid, unix.SIGKILL))
	n.awaitEnd(pid)
}

// stopKeeper stops it.
func (n *node) stopKeeper() int {
	n.t.Helper()
	client, err := keeper.Dial(n.t.Context(), n.config.RunDir)
	must(n.t, err)
	defer client.Close()
	hello, err := client.Hello(n.t.Context())
	must(n.t, err)
	pid := hello.Pid
	must(n.t, unix.Kill(pid, unix.SIGSTOP))
	return pid
}

// awaitEnd waits until a process is dead.
func (n *node) awaitEnd(pid int) {
	n.t.Helper()
	n.until("the end of a process", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}
