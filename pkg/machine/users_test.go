package machine_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ownersOf tells which namespaces of a process do not belong to its users, and which ids those have.
func ownersOf(t *testing.T, pid int) (strange []string, ids string) {
	t.Helper()
	var own unix.Stat_t
	must(t, unix.Stat(fmt.Sprintf("/proc/%d/ns/user", pid), &own))
	for _, kind := range []string{"mnt", "net", "ipc", "uts", "cgroup", "pid"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		must(t, err)
		fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
		f.Close()
		must(t, err)
		var owner unix.Stat_t
		must(t, unix.Fstat(fd, &owner))
		unix.Close(fd)
		if owner.Ino != own.Ino {
			strange = append(strange, kind)
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	must(t, err)
	return strange, strings.Join(strings.Fields(string(text)), " ")
}

// A restored container has users of its own as one that was started: its namespaces are theirs, who joins it is among them, and an agent that comes later finds it.
func TestUsersAfterRestore(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	for name, users := range map[string]spec.UserNamespace{
		"auto": {Mode: spec.UserAuto},
		"map": {
			Mode:        spec.UserMap,
			UIDMappings: []spec.IDMapping{{ContainerID: 0, HostID: 300000, Size: 1}, {ContainerID: 1, HostID: 400000, Size: 2000}},
			GIDMappings: []spec.IDMapping{{ContainerID: 0, HostID: 500000, Size: 3000}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			c := n.container("web", `echo mine >/home/web/file; chown web:audio /home/web/file; echo mine >/dev/shm/file; chown web:audio /dev/shm/file; `+counter)
			c.Spec.Namespaces.User = users
			c.Spec.Rootfs.Writable.Life = spec.LifeInstance
			n.run(c)
			n.until("a count", func() bool { return n.count("web") > 3 })
			_, idsBefore := ownersOf(t, n.look("web").Pid)
			look := func() string {
				t.Helper()
				said, exit, err := n.sh("web", `id -u; stat -c %u:%g / /proc/1 /home/web/file /dev/shm/file /dev /dev/null /dev/pts /dev/mqueue /count; hostname; touch /tmp/x && stat -c %u /tmp/x && rm /tmp/x; ip link show lo | grep -c LOOPBACK,UP`)
				must(t, err)
				if exit.Code != 0 {
					t.Fatalf("%+v: %s", exit, said)
				}
				return said
			}
			before := look()
			for range 2 {
				img := n.checkpoint("web", spec.CheckpointOptions{Stop: true})
				at := n.count("web")
				n.restore("web", img.Ref())
				n.until("the next count", func() bool { return n.count("web") > at })
				strange, ids := ownersOf(t, n.look("web").Pid)
				// That of control groups was there before its users: criu makes none.
				if strange = slices.DeleteFunc(strange, func(kind string) bool { return kind == "cgroup" }); len(strange) > 0 || ids != idsBefore {
					t.Errorf("namespaces %v are not its users'; ids %s, before %s", strange, ids, idsBefore)
				}
				if after := look(); after != before {
					t.Errorf("after a restore:\n%s\nbefore:\n%s", after, before)
				}
				n.reopen()
				if after := look(); after != before {
					t.Errorf("to another agent:\n%s\nbefore:\n%s", after, before)
				}
			}
			must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
			n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
			at := len(n.output("web"))
			must(t, n.Start(t.Context(), "web", 1))
			n.until("a count from the beginning", func() bool { return strings.HasPrefix(n.output("web")[at:], "1\n2\n3\n") })
			if after := look(); after != before {
				t.Errorf("after a start:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// The node's message queues are nobody's of a container's users, neither before an image nor after a restore.
func TestUsersAndTheNodesQueues(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	c := n.container("web", counter)
	c.Spec.Namespaces.User.Mode, c.Spec.Namespaces.IPC = spec.UserAuto, spec.NamespaceHost
	n.run(c)
	n.until("a count", func() bool { return n.count("web") > 3 })
	const nobody = "65534:65534\n"
	for _, when := range []string{"before", "after"} {
		said, exit, err := n.sh("web", "stat -c %u:%g /dev/mqueue")
		must(t, err)
		if exit.Code != 0 || said != nobody {
			t.Errorf("%s a restore: %+v, %q", when, exit, said)
		}
		if when == "before" {
			n.restore("web", n.checkpoint("web", spec.CheckpointOptions{Stop: true}).Ref())
		}
	}
}

// A terminal of a container with users of its own.
func TestTerminalOfUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	c := n.container("shell", "PS1='$ ' exec sh -i")
	c.Spec.TTY, c.Spec.Stdin, c.Spec.Namespaces.User.Mode, c.Spec.Checkpoint.Retain = true, true, spec.UserAuto, 1
	n.run(c)
	say := func(text, want string) {
		t.Helper()
		attached, err := n.Attach(t.Context(), "shell", 1)
		must(t, err)
		defer attached.Close()
		_, err = attached.Stdin().Write([]byte(text + "\n"))
		must(t, err)
		n.until("an answer", func() bool { return strings.Contains(n.output("shell"), want) })
	}
	say("remembered=4711; stty rows 33 cols 77; echo is$((1+1))there", "is2there")
	for round := range 2 {
		img := n.checkpoint("shell", spec.CheckpointOptions{Stop: true})
		n.restore("shell", img.Ref())
		say("echo round"+strconv.Itoa(round)+" $((remembered+1)) $(stty size) $(stat -c %u $(tty))", "round"+strconv.Itoa(round)+" 4712 33 77 0")
	}
}

// An image of other users than the container has is refused: its processes would be whoever those are now.
func TestOtherUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	for _, name := range []string{"one", "two"} {
		c := n.container(name, counter)
		c.Spec.Namespaces.User.Mode = spec.UserAuto
		n.run(c)
		n.until("a count", func() bool { return n.count(name) > 3 })
	}
	img := n.checkpoint("one", spec.CheckpointOptions{})
	must(t, n.Kill(t.Context(), "two", 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look("two").Phase == spec.InstanceExited })
	if err := n.Restore(t.Context(), "two", 1, img.Ref()); err == nil || !strings.Contains(err.Error(), "user") {
		t.Errorf("got %v", err)
	}
}
