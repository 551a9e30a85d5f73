package machine_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace/inside"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A counter is stopped with its image, and goes on from there; and once more.
func TestCounter(t *testing.T) {
	n := open(t)
	n.run(n.container("count", counter))
	score := oomScore(t, n.look("count").Pid)
	for round := range 2 {
		n.until("a count", func() bool { return n.count("count") >= 5*(round+1) })
		img, err := n.Checkpoint(t.Context(), "count", 1, spec.CheckpointOptions{Stop: true, Cause: "test"})
		must(t, err)
		t.Logf("image %+v", img)
		n.until("the end", func() bool { return n.look("count").Phase == spec.InstanceExited })
		at := n.count("count")
		must(t, n.Restore(t.Context(), "count", 1, img.Ref()))
		in := n.look("count")
		if got := oomScore(t, in.Pid); got != score {
			t.Errorf("oom_score_adj: %s, was %s", got, score)
		}
		if in.Phase != spec.InstanceRunning || in.Starts != round+2 {
			t.Fatalf("restored: got %+v", in)
		}
		n.until("the next count", func() bool { return n.count("count") > at })
		if got := n.count("count"); got > at+50 {
			t.Errorf("after %d comes %d", at, got)
		}
	}
}

// oomScore is the oom_score_adj of a process: the keeper may have another one.
func oomScore(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	must(t, err)
	return strings.TrimSpace(string(text))
}

// A running container goes on as if nothing had happened, and its image is of a moment in which memory and files agree.
func TestLeaveRunning(t *testing.T) {
	n := open(t)
	c := n.container("count", counter)
	c.Spec.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/scratch"}}
	n.run(c)
	n.until("a count", func() bool { return n.count("count") >= 5 })
	before := n.look("count")
	img, err := n.Checkpoint(t.Context(), "count", 1, spec.CheckpointOptions{Cause: "test"})
	must(t, err)
	at := n.count("count")
	n.until("the next count", func() bool { return n.count("count") > at+3 })
	if after := n.look("count"); after.Pid != before.Pid || after.Phase != spec.InstanceRunning || after.Starts != 1 {
		t.Errorf("after the image: got %+v, was %+v", after, before)
	}
	must(t, n.Kill(t.Context(), "count", 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look("count").Phase == spec.InstanceExited })
	if exit := n.look("count").Exit; exit.Reason != spec.ExitKilled {
		t.Errorf("exit: got %+v", exit)
	}
	must(t, n.Restore(t.Context(), "count", 1, img.Ref()))
	n.until("a count from the image on", func() bool { return n.count("count") < at+3 && n.count("count") > 5 })
	// The counter is in a variable, a file of the root and one in memory.
	said, _, err := n.sh("count", "cat /count /dev/shm/count; mount | grep scratch | wc -l")
	must(t, err)
	t.Log(said)
}

// A shell on a terminal goes on where it was, on the same terminal as far as it can tell.
func TestTerminal(t *testing.T) {
	n := open(t)
	c := n.container("shell", "PS1='$ ' exec sh -i")
	c.Spec.TTY, c.Spec.Stdin = true, true
	n.run(c)
	attached, err := n.Attach(t.Context(), "shell", 1)
	must(t, err)
	say := func(s spec.Session, text string) {
		_, err := s.Stdin().Write([]byte(text + "\n"))
		must(t, err)
	}
	say(attached, "remembered=4711; stty rows 33 cols 77; echo is$((1+1))there")
	n.until("an answer", func() bool { return strings.Contains(n.output("shell"), "is2there") })
	must(t, attached.Close())
	for round := range 2 {
		img, err := n.Checkpoint(t.Context(), "shell", 1, spec.CheckpointOptions{Stop: true})
		must(t, err)
		n.until("the end", func() bool { return n.look("shell").Phase == spec.InstanceExited })
		must(t, n.Restore(t.Context(), "shell", 1, img.Ref()))
		attached, err = n.Attach(t.Context(), "shell", 1)
		must(t, err)
		say(attached, "echo round"+strconv.Itoa(round)+" $((remembered+1)) $(stty size) $(tty)")
		n.until("an answer", func() bool {
			return strings.Contains(n.output("shell"), "round"+strconv.Itoa(round)+" 4712 33 77 /dev/pts/0")
		})
		must(t, attached.Close())
	}
}

// The containers of a group stop at one moment, and end together.
func TestGroup(t *testing.T) {
	n := open(t)
	for _, name := range []string{"pair-a", "pair-b"} {
		c := n.container(name, counter)
		c.Spec.Group = "pair"
		n.run(c)
	}
	n.until("counts", func() bool { return n.count("pair-a") > 3 && n.count("pair-b") > 3 })
	was := n.namespaces("pair-a", "pair-b")
	img, err := n.Checkpoint(t.Context(), "pair-b", 1, spec.CheckpointOptions{})
	must(t, err)
	other, err := n.Images(t.Context(), "pair-a")
	must(t, err)
	if len(other) != 1 || img.Set == "" || other[0].Set != img.Set || img.Container != "pair-b" {
		t.Fatalf("images %+v, %+v", img, other)
	}
	a, b := n.count("pair-a"), n.count("pair-b")
	n.until("further counts", func() bool { return n.count("pair-a") > a && n.count("pair-b") > b })
	_, err = n.Checkpoint(t.Context(), "pair-a", 1, spec.CheckpointOptions{Stop: true})
	must(t, err)
	for _, name := range []string{"pair-a", "pair-b"} {
		n.until("the end", func() bool { in := n.look(name); return in.Exit != nil && in.Exit.Reason == spec.ExitCheckpointed })
		images, err := n.Images(t.Context(), name)
		must(t, err)
		at := n.count(name)
		must(t, n.Restore(t.Context(), name, 1, images[len(images)-1].Ref()))
		n.until("a count", func() bool { return n.count(name) > at })
	}
	if now := n.namespaces("pair-a", "pair-b"); !slices.Equal(now, was) {
		t.Errorf("namespaces of the group: %q, and were %q", now, was)
	}

	// What they share could not be restored for both.
	ipc, err := os.Open(fmt.Sprintf("/proc/%d/ns/ipc", n.look("pair-a").Pid))
	must(t, err)
	defer ipc.Close()
	must(t, inside.Do(ipc, unix.CLONE_NEWIPC, func() error {
		_, err := unix.SysvShmGet(7, 4096, unix.IPC_CREAT|0o600)
		return err
	}))
	if _, err := n.Checkpoint(t.Context(), "pair-b", 1, spec.CheckpointOptions{}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "System V") {
		t.Errorf("with shared memory: %v", err)
	}
}

// namespaces tells which namespaces containers have that may be their group's, each as 0 when it is the first one's.
func (n *node) namespaces(names ...string) (list []string) {
	n.t.Helper()
	first := map[string]string{}
	for _, name := range names {
		for _, kind := range []string{"net", "ipc", "uts"} {
			id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", n.look(name).Pid, kind))
			must(n.t, err)
			if first[kind] == "" {
				first[kind] = id
			}
			list = append(list, fmt.Sprintf("%s of %s is shared: %v", kind, name, id == first[kind]))
		}
	}
	return list
}

// A paused container is paused after its image, and when its image fails.
func TestPaused(t *testing.T) {
	n := open(t)
	n.run(n.container("count", counter))
	n.until("a count", func() bool { return n.count("count") > 3 })
	must(t, n.Pause(t.Context(), "count", 1))
	at := n.count("count")
	_, err := n.Checkpoint(t.Context(), "count", 1, spec.CheckpointOptions{})
	must(t, err)
	if in := n.look("count"); in.Phase != spec.InstancePaused {
		t.Fatalf("after the image: %+v", in)
	}
	img, err := n.Checkpoint(t.Context(), "count", 1, spec.CheckpointOptions{Stop: true})
	must(t, err)
	n.until("the end", func() bool { return n.look("count").Phase == spec.InstanceExited })
	must(t, n.Restore(t.Context(), "count", 1, img.Ref()))
	n.until("a count", func() bool { return n.count("count") > at })
}
