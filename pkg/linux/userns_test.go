package linux_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// private gives a container users of its own.
func private(c spec.Container) spec.Container {
	c.Spec.Namespaces.User.Mode = spec.UserAuto
	return c
}

// A container with users of its own: root inside, an ordinary user outside; its files look like its own; its namespaces belong to it.
func TestPrivateUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	for _, base := range []struct {
		name string
		c    spec.Container
	}{{"read-only", n.container("web", "")}, {"writable", n.writable("web", "", spec.Writable{})}, {"layer", n.writable("web", "", spec.Writable{Life: spec.LifeName})}} {
		t.Run(base.name, func(t *testing.T) {
			c := private(base.c)
			c.Spec.Command = []string{"/bin/sh", "-c", `id -u; cut -c1-33 /proc/self/uid_map; stat -c '%u:%g' / /bin /tmp /dev/null /dev/shm /home/web /proc/1; hostname inside 2>/dev/null && echo named
				ip link show lo | grep -c LOOPBACK,UP; touch /dev/shm/mine && stat -c '%u' /dev/shm/mine; echo 1 >/dev/null && echo null; mknod /tmp/x c 1 3 2>/dev/null || echo no device
				echo up; exec sleep 1000`}
			n.run(t, c, 1)
			n.hear(t, "web", "up")
			got := n.output(t, "web")
			want := "0\n         0     524288      65536\n0:0\n0:0\n0:0\n0:0\n0:0\n0:0\n0:0\n1\n0\nnull\nno device\nup\n"
			if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			pid := n.look(t, "web", 1).Pid
			var st unix.Stat_t
			must(t, unix.Stat(fmt.Sprintf("/proc/%d", pid), &st))
			if st.Uid < 524288 {
				t.Errorf("outside it is user %d", st.Uid)
			}
			for _, kind := range []string{"mnt", "net", "ipc", "uts", "cgroup"} {
				f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
				must(t, err)
				owner, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.NS_GET_USERNS, 0)
				f.Close()
				if errno != 0 {
					t.Fatal(errno)
				}
				var theirs, own unix.Stat_t
				must(t, unix.Fstat(int(owner), &theirs))
				unix.Close(int(owner))
				must(t, unix.Stat(fmt.Sprintf("/proc/%d/ns/user", pid), &own))
				if theirs.Ino != own.Ino {
					t.Errorf("its %s namespace is not its users'", kind)
				}
			}
			must(t, n.Destroy(t.Context(), "web", 1, false))
		})
	}
}

// A container with users of its own may divide the cgroup that it mounts to be written to, and not lift its limits; without rw it may not. What it made goes
// with it.
func TestUsersDivideTheirCgroup(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	for options, want := range map[string]string{"rw": "0:0\nmade\nmoved\nlimits kept\n", "ro": "65534:65534\nlimits kept\n"} {
		c := private(n.container("web", `cd /sys/fs/cgroup; stat -c %u:%g .; mkdir sub 2>/dev/null && echo made
			(echo 0 >sub/cgroup.procs) 2>/dev/null && echo moved; (echo max >cgroup.max.descendants) 2>/dev/null || echo limits kept`))
		c.Spec.Mounts = []spec.Mount{{Type: spec.MountCgroup2, Destination: "/sys/fs/cgroup", Options: []string{options}}}
		if got := n.say(t, c); got != want {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
	}
}

// Sysctls of a user namespace are opened inside, whatever limit of descriptors the container has; the limit holds all the same.
func TestUsersWithFewFiles(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	for _, limit := range []spec.Rlimit{{Soft: 3, Hard: 200}, {Soft: 3, Hard: 3}, {Soft: 100, Hard: 2000}} {
		c := private(n.container("web", "ulimit -Sn; ulimit -Hn"))
		c.Spec.Sysctls = map[string]string{"user.max_ipc_namespaces": "5"}
		c.Spec.Rlimits = map[string]spec.Rlimit{"nofile": limit}
		want := fmt.Sprintf("%d\n%d\n", limit.Soft, limit.Hard)
		if limit.Soft > 3 { // it can open a file
			c.Spec.Command[2] += "; cat /proc/sys/user/max_ipc_namespaces"
			want += "5\n"
		}
		if got := n.say(t, c); got != want {
			t.Errorf("with limit %+v: %q, want %q", limit, got, want)
		}
	}
}

// Ranges are disjoint, stay over restarts and agents, and are given back.
func TestDisjointUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	first := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", n.look(t, name, 1).Pid))
		must(t, err)
		return strings.Fields(string(text))[1]
	}
	seen := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		n.run(t, private(n.container(name, forever)), 1)
		if other := seen[first(name)]; other != "" {
			t.Errorf("%s and %s have the same ids", name, other)
		}
		seen[first(name)] = name
	}
	before := first("b")
	n.reopen(t)
	must(t, n.Kill(t.Context(), "b", 1, "SIGKILL"))
	n.await(t, "b", 1, exited)
	must(t, n.Start(t.Context(), "b", 1))
	if first("b") != before {
		t.Errorf("a restart has ids from %s, not %s", first("b"), before)
	}
	must(t, n.Destroy(t.Context(), "b", 1, false))
	n.run(t, private(n.container("d", forever)), 1)
	if first("d") != before {
		t.Errorf("the range of a container that is gone was not given out again: %s", first("d"))
	}
	for _, name := range []string{"a", "c", "d"} {
		must(t, n.Destroy(t.Context(), name, 1, false))
	}
	if left, _ := filepath.Glob(n.path("state", "ids", "*")); left != nil {
		t.Errorf("left: %v", left)
	}
}

// What a container writes into a layer that is kept is its own again after a restart.
func TestPrivateUsersKeepFiles(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	for _, medium := range []spec.Medium{spec.MediumMemory, spec.MediumDisk} {
		c := private(n.writable("web", `[ -e /mine ] && { stat -c '%u:%g' /mine; exit; }; touch /mine; chown web:web /mine; exit 1`, spec.Writable{Medium: medium, Life: spec.LifeInstance}))
		c.Spec.Security.Capabilities.Add = []string{"CHOWN"}
		n.run(t, c, 1)
		n.await(t, "web", 1, exited)
		must(t, n.Start(t.Context(), "web", 1))
		n.await(t, "web", 1, func(in spec.Instance) bool { return in.Phase == spec.InstanceExited && in.Starts == 2 })
		if got := n.output(t, "web"); got != "1000:1000\n" {
			t.Errorf("%s: %q", medium, got)
		}
		must(t, n.Destroy(t.Context(), "web", 1, false))
	}
}

// A further process has the container's users, and another container can join them.
func TestExecAmongPrivateUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	c := private(n.container("web", forever))
	c.Spec.Security.Capabilities.Add = []string{"SYS_PTRACE"} // counts inside only
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	got, _ := n.inside(t, "web", command(`id; [ "$(readlink /proc/self/ns/user)" = "$(readlink /proc/1/ns/user)" ] && echo same; grep CapEff /proc/self/status; echo ok >/proc/self/fd/1`), "")
	if want := "uid=0(root) gid=0(root)\nsame\nCapEff:\t00000000000c05fb\nok\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	e := spec.Exec{Command: []string{"sh", "-c", "id -u; stat -c %u $(tty)"}, User: "web", TTY: true}
	if got, _ := n.inside(t, "web", e, ""); got != "1000\r\n1000\r\n" {
		t.Errorf("a terminal: %q", got)
	}
	joiner := n.container("joiner", `cut -c1-33 /proc/self/uid_map; exec sleep 1000`)
	joiner.Spec.Namespaces.User = spec.UserNamespace{Mode: spec.UserJoin, Join: "container:web"}
	n.run(t, joiner, 1)
	n.hear(t, "joiner", "65536")
	if a, b := namespaces(t, n.look(t, "web", 1).Pid)["user"], namespaces(t, n.look(t, "joiner", 1).Pid)["user"]; a != b {
		t.Error("the joiner is in another user namespace")
	}
}

// Maps of the manifest's own are taken as they are.
func TestMappedUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	c := n.container("web", `cat /proc/self/uid_map /proc/self/gid_map; id -u`)
	c.Spec.Namespaces.User = spec.UserNamespace{
		Mode:        spec.UserMap,
		UIDMappings: []spec.IDMapping{{ContainerID: 0, HostID: 300000, Size: 1}, {ContainerID: 1, HostID: 400000, Size: 2000}},
		GIDMappings: []spec.IDMapping{{ContainerID: 0, HostID: 500000, Size: 3000}},
	}
	if got, want := n.say(t, c), "0 300000 1 1 400000 2000 0 500000 3000 0"; strings.Join(strings.Fields(got), " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
