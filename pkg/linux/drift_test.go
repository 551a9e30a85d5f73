package linux_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// drifts are what a deep look finds.
func (n *node) drifts(t testing.TB, name string) []spec.Drift {
	t.Helper()
	list, err := n.Drift(t.Context(), name, 1)
	must(t, err)
	return list
}

// enter runs a program of the node's in some of a container's namespaces, as root of the node: nsenter(1).
func enter(t testing.TB, pid int, spaces string, command ...string) {
	t.Helper()
	args := append(append([]string{"-t", fmt.Sprint(pid)}, strings.Fields(spaces)...), command...)
	if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
		t.Fatalf("nsenter %v: %v: %s", args, err, out)
	}
}

// strayed is one row: what somebody does from outside, and what is found then.
type strayed struct {
	name   string
	set    func(t *testing.T, n *node, c *spec.Container)
	by     func(t *testing.T, n *node, in spec.Instance)
	want   []spec.Drift
	after  func(t *testing.T, n *node, in spec.Instance) // puts back what is only reported
	script string
}

// check finds nothing, lets somebody do something, finds it, repairs it where it can be, and finds nothing again; the process stays.
func (row strayed) check(t *testing.T, n *node) {
	c := n.container("web", forever)
	if row.script != "" {
		c = n.container("web", row.script)
	}
	if row.set != nil {
		row.set(t, n, &c)
	}
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	in := n.look(t, "web", 1)
	if got := n.drifts(t, "web"); len(got) > 0 {
		t.Fatalf("before: %v", got)
	}
	row.by(t, n, in)
	got := n.drifts(t, "web")
	if len(got) != len(row.want) {
		t.Fatalf("found %+v, want %+v", got, row.want)
	}
	repairable := true
	var fields []string
	for i, d := range got {
		w := row.want[i]
		if d.Field != w.Field || d.Repairable != w.Repairable || !strings.Contains(d.Found, w.Found) || !strings.Contains(d.Wanted, w.Wanted) {
			t.Errorf("found %+v, want %+v", d, w)
		}
		fields, repairable = append(fields, d.Field), repairable && d.Repairable
	}
	must(t, n.Repair(t.Context(), "web", 1, fields...))
	if left := n.drifts(t, "web"); repairable && len(left) > 0 || !repairable && len(left) != len(got) {
		t.Errorf("after the repair: %+v", left)
	}
	if row.after != nil {
		row.after(t, n, in)
		if left := n.drifts(t, "web"); len(left) > 0 {
			t.Errorf("after it was put back by hand: %+v", left)
		}
	}
	if now := n.look(t, "web", 1); now.Pid != in.Pid || now.Starts != in.Starts || now.Phase != in.Phase {
		t.Errorf("it is another run: %+v, was %+v", now, in)
	}
	must(t, n.Destroy(t.Context(), "web", 1, false))
}

// masked is a file that is hidden from containers and that this node has.
func masked(t *testing.T) string {
	for _, path := range spec.DefaultMaskedPaths {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	t.Skip("skip: this kernel has none of the files that are hidden")
	return ""
}

func TestDriftOfAll(t *testing.T) {
	for _, row := range []strayed{
		{
			name: "hostname", by: func(t *testing.T, _ *node, in spec.Instance) { enter(t, in.Pid, "-u", "hostname", "db") },
			want: []spec.Drift{{Field: "hostname", Found: "db", Wanted: "web", Repairable: true}},
		},
		{name: "sysctls", set: func(_ *testing.T, _ *node, c *spec.Container) {
			c.Spec.Sysctls = map[string]string{"net.core.somaxconn": "512", "kernel.msgmax": "9000", "net.ipv4.ip_local_port_range": "20000 30000", "kernel.msg_next_id": "7"}
		}, by: func(t *testing.T, _ *node, in spec.Instance) {
			enter(t, in.Pid, "-n", "sh", "-c", "echo 99 >/proc/sys/net/core/somaxconn; echo 1 2 >/proc/sys/net/ipv4/ip_local_port_range || echo 1025 1026 >/proc/sys/net/ipv4/ip_local_port_range")
		}, want: []spec.Drift{
			{Field: "sysctls[net.core.somaxconn]", Found: "99", Wanted: "512", Repairable: true},
			{Field: "sysctls[net.ipv4.ip_local_port_range]", Wanted: "20000 30000", Repairable: true},
		}},
		{
			name: "sysctls of ipc", set: func(_ *testing.T, _ *node, c *spec.Container) {
				c.Spec.Sysctls = map[string]string{"kernel.msgmax": "9000"}
			},
			by: func(t *testing.T, _ *node, in spec.Instance) {
				enter(t, in.Pid, "-i", "sh", "-c", "echo 8000 >/proc/sys/kernel/msgmax")
			},
			want: []spec.Drift{{Field: "sysctls[kernel.msgmax]", Found: "8000", Wanted: "9000", Repairable: true}},
		},
		{
			name: "loopback", by: func(t *testing.T, _ *node, in spec.Instance) {
				enter(t, in.Pid, "-n", "ip", "link", "set", "lo", "down")
			},
			want: []spec.Drift{{Field: "network.loopback", Found: "lo down", Wanted: "lo up", Repairable: true}},
		},
		{name: "cgroup", by: func(t *testing.T, n *node, in spec.Instance) {
			must(t, os.WriteFile(filepath.Join(kerneltest.Tree(t).Unified, "cgroup.procs"), []byte(fmt.Sprint(in.Pid)), 0))
		}, want: []spec.Drift{{Field: "cgroup", Found: "process", Wanted: "/web/1", Repairable: true}}},
		{name: "a v1 cgroup", by: func(t *testing.T, n *node, in spec.Instance) {
			tree := kerneltest.Tree(t)
			if tree.V1["pids"] == "" {
				t.Skip("skip: pids is a controller of cgroup v2 here")
			}
			must(t, os.WriteFile(filepath.Join(tree.V1["pids"], "cgroup.procs"), []byte(fmt.Sprint(in.Pid)), 0))
		}, want: []spec.Drift{{Field: "cgroup", Found: " in /", Wanted: "/web/1", Repairable: true}}},
		{name: "a child's cgroup", script: `trap 'exit 0' TERM; sleep 1000 & sleep 0.1; echo up; while :; do wait; done`, by: func(t *testing.T, n *node, in spec.Instance) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", in.Pid, in.Pid))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(kerneltest.Tree(t).Unified, "cgroup.procs"), bytes.TrimSpace(text), 0))
		}, want: []spec.Drift{{Field: "cgroup", Found: "process", Wanted: "/web/1", Repairable: true}}},
		{name: "a stranger", by: func(t *testing.T, n *node, in spec.Instance) {
			stranger := exec.Command("sleep", "1000")
			must(t, stranger.Start())
			t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
			must(t, os.WriteFile(filepath.Join(n.group(t, "web", 1), "cgroup.procs"), []byte(fmt.Sprint(stranger.Process.Pid)), 0))
		}, want: []spec.Drift{{Field: "cgroup.procs", Found: "(sleep)", Wanted: "alone"}}, after: func(t *testing.T, n *node, in spec.Instance) {
			text, err := os.ReadFile(filepath.Join(n.group(t, "web", 1), "cgroup.procs"))
			must(t, err)
			for _, pid := range strings.Fields(string(text)) {
				if comm, _ := os.ReadFile("/proc/" + pid + "/status"); strings.Contains(string(comm), "NSpid:\t"+pid+"\n") {
					must(t, os.WriteFile(filepath.Join(kerneltest.Tree(t).Unified, "cgroup.procs"), []byte(pid), 0))
				}
			}
		}},
		{
			name: "rlimits and oom score", set: func(t *testing.T, _ *node, c *spec.Container) {
				if have, err := capability.ReadNode(os.Getpid()); err != nil || !have.Have.Has(unix.CAP_SYS_RESOURCE) {
					t.Skipf("skip: nobody here has CAP_SYS_RESOURCE, without which this does not drift: %v", err)
				}
				c.Spec.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 100, Hard: 200}, "core": {Soft: 0, Hard: 100}}
				c.Spec.OOMScoreAdj = spec.NewOOMScore(500)
			}, by: func(t *testing.T, _ *node, in spec.Instance) {
				must(t, unix.Prlimit(in.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: 1000}, nil))
				must(t, unix.Prlimit(in.Pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 50}, nil)) // lower: its own right
				must(t, os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", in.Pid), []byte("-500"), 0))
			}, want: []spec.Drift{{Field: "oomScoreAdj", Found: "-500", Wanted: "500"}, {Field: "rlimits[nofile]", Found: "1000", Wanted: "200"}},
			after: func(t *testing.T, _ *node, in spec.Instance) {
				must(t, unix.Prlimit(in.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: 200}, nil))
				must(t, os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", in.Pid), []byte("900"), 0)) // higher: its own right
			},
		},
		{name: "mounts", set: func(t *testing.T, n *node, c *spec.Container) {
			must(t, os.MkdirAll(n.path("data"), 0o755))
			must(t, os.MkdirAll(n.path("more"), 0o755))
			c.Spec.Rootfs.ReadOnly = true
			c.Spec.Mounts = []spec.Mount{
				{Type: spec.MountBind, Source: n.path("data"), Destination: "/data", Options: []string{"ro", "nosuid"}},
				{Type: spec.MountBind, Source: n.path("more"), Destination: "/more"},
				{Type: spec.MountTmpfs, Destination: "/scratch", Options: []string{"noexec"}},
			}
		}, by: func(t *testing.T, _ *node, in spec.Instance) {
			enter(t, in.Pid, "-m -p", "mount", "-o", "remount,rw,bind", "/data")
			enter(t, in.Pid, "-m -p", "mount", "-o", "remount,rw,bind", "/")
			enter(t, in.Pid, "-m -p", "umount", "/more")
			enter(t, in.Pid, "-m -p", "umount", masked(t))
			enter(t, in.Pid, "-m -p", "mount", "-o", "remount,rw,bind", "/proc/sys")
			enter(t, in.Pid, "-m -p", "mount", "-t", "tmpfs", "own", "/scratch") // over it: nobody's business
			enter(t, in.Pid, "-m -p", "mount", "-t", "tmpfs", "own", "/dev/mqueue")
		}, want: []spec.Drift{
			{Field: "rootfs", Found: "rw", Wanted: "ro"},
			{Field: "mounts[/data]", Found: "bind rw nosuid", Wanted: "bind ro nosuid"},
			{Field: "mounts[/more]", Found: "", Wanted: "bind"},
			{Field: "security.maskedPaths[" + masked(t) + "]", Found: "shown", Wanted: "hidden"},
			{Field: "security.readonlyPaths[/proc/sys]", Found: "rw", Wanted: "ro"},
		}},
		{name: "another source", set: func(t *testing.T, n *node, c *spec.Container) {
			must(t, os.MkdirAll(n.path("data"), 0o755))
			c.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: n.path("data"), Destination: "/data"}}
		}, by: func(t *testing.T, n *node, in spec.Instance) {
			must(t, os.Rename(n.path("data"), n.path("old")))
			must(t, os.Mkdir(n.path("data"), 0o755))
		}, want: []spec.Drift{{Field: "mounts[/data]", Found: "/old", Wanted: "/data"}}},
	} {
		t.Run(row.name, func(t *testing.T) { row.check(t, open(t)) })
	}
}

// A process that has left the namespaces of its start is told of, and cannot be put back.
func TestDriftOfNamespaces(t *testing.T) {
	n := open(t)
	c := n.with(spec.Capabilities{Add: []string{"SYS_ADMIN"}}, "web", `trap 'exec unshare -u -i sleep 1000' USR1; echo up; while :; do sleep 0.1; done`)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	for range 2 { // what is remembered of the first is no excuse later
		if got := n.drifts(t, "web"); len(got) > 0 {
			t.Fatalf("before: %+v", got)
		}
	}
	must(t, unix.Kill(n.look(t, "web", 1).Pid, unix.SIGUSR1))
	var got []spec.Drift
	for deadline := time.Now().Add(patience); len(got) == 0 && time.Now().Before(deadline); {
		got = n.drifts(t, "web")
	}
	if len(got) != 2 || got[0].Field != "namespaces.ipc" || got[1].Field != "namespaces.uts" || got[1].Repairable || !strings.HasPrefix(got[1].Found, "uts:[") || got[1].Found == got[1].Wanted {
		t.Errorf("found %+v", got)
	}
	must(t, n.Repair(t.Context(), "web", 1, "namespaces.uts"))
}

// The network is put back: addresses, routes, links, bridge and table of ports.
func TestDriftOfNetwork(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		web := n.container("web", `httpd -p 80 -h /etc; `+forever)
		web.Spec.Network = spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 18080, Container: 80}}, MTU: 1400}
		n.run(t, web, 1)
		n.hear(t, "web", "up")
		in := n.look(t, "web", 1)
		if got := n.drifts(t, "web"); len(got) > 0 {
			t.Fatalf("before: %v", got)
		}
		run := func(words ...string) func() {
			return func() {
				if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", words, err, out)
				}
			}
		}
		inside := func(words ...string) func() { return func() { enter(t, in.Pid, "-n", words...) } }
		for name, row := range map[string]struct {
			by   func()
			want []string
		}{
			"address":    {inside("ip", "addr", "flush", "dev", "eth0", "scope", "global"), []string{"network.address", "network.routes[0.0.0.0/0]"}},
			"route":      {inside("ip", "route", "del", "default"), []string{"network.routes[0.0.0.0/0]"}},
			"down":       {inside("ip", "link", "set", "eth0", "down"), []string{"network.interface", "network.routes[0.0.0.0/0]"}},
			"mtu":        {inside("ip", "link", "set", "eth0", "mtu", "1300"), []string{"network.mtu"}},
			"gone":       {inside("ip", "link", "del", "eth0"), []string{"network.link", "network.interface"}},
			"loopback":   {inside("ip", "link", "set", "lo", "down"), []string{"network.loopback"}},
			"forwarding": {run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"), []string{"network.forwarding"}},
			"bridge":     {run("ip", "link", "del", bridgeName(t)), []string{"network.bridge"}},
			"added":      {inside("ip", "addr", "add", "192.0.2.7/24", "dev", "eth0"), nil},
		} {
			t.Run(name, func(t *testing.T) {
				row.by()
				var fields []string
				for _, d := range n.drifts(t, "web") {
					fields = append(fields, d.Field)
				}
				for _, want := range row.want {
					if !strings.Contains(strings.Join(fields, " "), want) {
						t.Errorf("found %v, want %v", fields, row.want)
					}
				}
				if len(row.want) == 0 && len(fields) > 0 {
					t.Errorf("found %v", fields)
				}
				must(t, n.Repair(t.Context(), "web", 1, fields...))
				if left := n.drifts(t, "web"); len(left) > 0 {
					t.Errorf("after the repair: %+v", left)
				}
				c, err := net.Dial("tcp", "127.0.0.1:18080")
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				if now := n.look(t, "web", 1); now.Pid != in.Pid {
					t.Errorf("another process: %+v", now)
				}
			})
		}
	})
}

// bridgeName is the one bridge there is.
func bridgeName(t *testing.T) string {
	all, err := filepath.Glob("/sys/class/net/*/bridge")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		return filepath.Base(filepath.Dir(path))
	}
	return spec.DefaultBridge
}
