package linux_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// namespaces are the inode numbers of a process's namespaces, by kind. Numbers, not names, tell them apart.
func namespaces(t testing.TB, pid int) map[string]uint64 {
	t.Helper()
	found := map[string]uint64{}
	for _, kind := range []string{"pid", "mnt", "ipc", "uts", "net", "cgroup", "user", "time"} {
		var st unix.Stat_t
		must(t, unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), &st))
		found[kind] = st.Ino
	}
	return found
}

// running starts an instance and returns the namespaces of its process.
func (n *node) running(t testing.TB, name string, id uint64) map[string]uint64 {
	t.Helper()
	must(t, n.Start(t.Context(), name, id))
	return namespaces(t, n.await(t, name, id, in(spec.InstanceRunning)).Pid)
}

// Every container has namespaces of its own; only Host shares the node's network. Nobody has a user namespace yet.
func TestNamespaces(t *testing.T) {
	n := open(t)
	host := namespaces(t, os.Getpid())
	seen := map[uint64]string{}
	for _, mode := range []spec.NetworkMode{"", spec.NetworkPrivate, spec.NetworkNone, spec.NetworkHost} {
		name := "net-" + strings.ToLower(string(mode)) + "0"
		c := n.container(name, forever)
		c.Spec.Network.Mode = mode
		must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
		for kind, inode := range n.running(t, name, 1) {
			shared := kind == "user" || kind == "time" || kind == "net" && mode == spec.NetworkHost
			if (inode == host[kind]) != shared {
				t.Errorf("mode %q: sharing the node's %s namespace is %v", mode, kind, inode == host[kind])
			}
			if other := seen[inode]; other != "" && !shared {
				t.Errorf("mode %q: the %s namespace is also that of %s", mode, kind, other)
			}
			seen[inode] = name
		}
	}
}

// Private has the loopback up, None has it down, Host has the node's links.
func TestNetworkModes(t *testing.T) {
	n := open(t)
	links, err := os.ReadDir("/sys/class/net")
	must(t, err)
	for _, test := range []struct {
		mode spec.NetworkMode
		want string
	}{
		{spec.NetworkPrivate, "LOOPBACK,UP\n1\nyes"},
		{spec.NetworkNone, "LOOPBACK\n1\nno"},
		{spec.NetworkHost, fmt.Sprintf("LOOPBACK,UP\n%d\nyes", len(links))},
	} {
		t.Run(string(test.mode), func(t *testing.T) {
			c := n.container("web", `ip link show lo | grep -oE 'LOOPBACK(,UP)?'; ls /sys/class/net | wc -l; ping -c 1 -w 5 127.0.0.1 >/dev/null 2>&1 && echo yes || echo no`)
			c.Spec.Network.Mode = test.mode
			c.Spec.Security.Capabilities.Add = []string{"NET_RAW"}
			if got := strings.TrimSpace(n.say(t, c)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A sandbox belongs to the name: it stays over restarts, over the agent and over a successor, and ends with the name.
func TestSandboxOutlivesItsProcesses(t *testing.T) {
	n := open(t)
	c := n.container("web", forever)
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	first := n.running(t, "web", 1)
	compare := func(what string, now map[string]uint64) {
		t.Helper()
		for _, kind := range []string{"net", "ipc", "uts"} {
			if now[kind] != first[kind] {
				t.Errorf("%s: another %s namespace", what, kind)
			}
		}
	}
	restart := func(id uint64) map[string]uint64 {
		t.Helper()
		must(t, n.Kill(t.Context(), "web", id, "SIGKILL"))
		n.await(t, "web", id, exited)
		return n.running(t, "web", id)
	}
	compare("a restart", restart(1))
	n.reopen(t)
	compare("another agent", restart(1))
	c.Spec.Umask = "0027"
	must(t, n.Destroy(t.Context(), "web", 1, true))
	must(t, n.Create(t.Context(), c, 2, spec.DefaultsVersion))
	compare("a successor", n.running(t, "web", 2))
	hold, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.look(t, "web", 2).Pid)) // so that its number is not given out again
	must(t, err)
	defer hold.Close()
	must(t, n.Destroy(t.Context(), "web", 2, false))
	must(t, n.Create(t.Context(), c, 3, spec.DefaultsVersion))
	if now := n.running(t, "web", 3); now["net"] == first["net"] {
		t.Error("the network namespace outlived its name")
	}
}

// Two instances of one name stand side by side: each has its cgroup and process, and one's end is not the other's.
func TestSideBySide(t *testing.T) {
	n := open(t)
	old, successor := n.container("web", forever), n.container("web", forever)
	successor.Spec.Env = map[string]string{"VERSION": "2"}
	n.run(t, old, 1)
	n.run(t, successor, 2)
	all, err := n.ObserveOne(t.Context(), "web")
	must(t, err)
	if len(all) != 2 || all[0].ID != 1 || all[1].ID != 2 || all[0].Pid == all[1].Pid || all[0].Hash == all[1].Hash {
		t.Fatalf("got %+v", all)
	}
	must(t, n.Destroy(t.Context(), "web", 1, false))
	if got := n.look(t, "web", 2); got.Phase != spec.InstanceRunning || got.Pid != all[1].Pid {
		t.Errorf("the end of instance 1 left instance 2 %+v", got)
	}
	if !strings.Contains(n.output(t, "web"), "up") {
		t.Error("the output of the name went with its instance 1")
	}
}
