package linux_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestInside looks from inside at what manifests say, and at what containers find that say nothing.
func TestInside(t *testing.T) {
	n := open(t)
	must(t, os.WriteFile(n.path("rootfs", "bin", "setuid"), []byte("#!/bin/sh\n"), 0o755))
	empty := []string{}
	for _, test := range []struct {
		name   string
		change func(*spec.ContainerSpec)
		script string
		want   string
	}{
		{"defaults", nil, `hostname; id; pwd; umask; echo $$ $HOME $PATH; cat /proc/self/cgroup | tail -n 1; ls /sys/class/net; env | grep -vE '^(PWD|SHLVL|OLDPWD|container)=' | sort`, `
defaults
uid=0(root) gid=0(root)
/
0022
1 /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
0::/
lo
HOME=/root
HOSTNAME=defaults
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`},
		{"privileges", nil, `grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status`, `
CapInh:	0000000000000000
CapPrm:	00000000000405fb
CapEff:	00000000000405fb
CapBnd:	00000000000405fb
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2`},
		{
			"no-capabilities", func(s *spec.ContainerSpec) { s.Security.Capabilities.Drop = []string{"ALL"} },
			`grep -E '^Cap' /proc/self/status | cut -f 2 | sort -u; chown 1 /dev/shm 2>/dev/null || echo refused`, "0000000000000000\nrefused",
		},
		{"added-capability", func(s *spec.ContainerSpec) {
			s.User, s.Security.Capabilities = "web", spec.Capabilities{Drop: []string{"ALL"}, Add: []string{"NET_BIND_SERVICE"}}
		}, `grep -E '^Cap' /proc/self/status | cut -f 2 | uniq`, "0000000000000400"},
		{
			"new-privileges", func(s *spec.ContainerSpec) {
				s.Security.AllowNewPrivileges, s.Security.Seccomp = true, spec.SeccompUnconfined
			},
			`grep -E '^(NoNewPrivs|Seccomp:)' /proc/self/status`, "NoNewPrivs:\t0\nSeccomp:\t0",
		},
		{"seccomp", nil, `unshare -m true 2>/dev/null || echo refused`, "refused"},
		{
			"user", func(s *spec.ContainerSpec) { s.User = "web" }, `id; echo $HOME; grep -E '^(CapEff|CapAmb)' /proc/self/status`,
			"uid=1000(web) gid=1000(web) groups=29(audio),44(video)\n/home/web\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000",
		},
		{
			"user-and-group", func(s *spec.ContainerSpec) { s.User, s.AdditionalGroups = "web:daemon", []string{"1234", "nogroup"} }, `id -u; id -g; id -G`,
			"1000\n1\n1 29 44 1234 65534",
		},
		{"unlisted-user", func(s *spec.ContainerSpec) { s.User = "4242" }, `id -u; id -g; id -G; echo $HOME`, "4242\n0\n0\n/"},
		{"environment", func(s *spec.ContainerSpec) {
			s.Env = map[string]string{"A": "1 $B", "HOME": "/said", "PATH": "/bin", "EMPTY": ""}
			s.Hostname = "host-of-it"
		}, `echo "$A|$HOME|$PATH|${EMPTY-unset}|$HOSTNAME"`, "1 $B|/said|/bin||host-of-it"},
		{"found-in-path", func(s *spec.ContainerSpec) { s.Command[0] = "sh" }, `echo found`, "found"},
		{"working-directory", func(s *spec.ContainerSpec) { s.WorkingDir = "/home/web/../web" }, `pwd`, "/home/web"},
		{"umask", func(s *spec.ContainerSpec) { s.Umask = "0077" }, `umask; touch /dev/shm/x; stat -c %a /dev/shm/x`, "0077\n600"},
		{"rlimits", func(s *spec.ContainerSpec) {
			s.Rlimits = map[string]spec.Rlimit{"nofile": {Soft: 100, Hard: 200}, "core": {Soft: 0, Hard: 0}}
		}, `ulimit -Sn; ulimit -Hn; ulimit -Hc`, "100\n200\n0"},
		{"sysctls", func(s *spec.ContainerSpec) {
			s.Sysctls = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}
		}, `cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax`, "1\n4096"},
		{"oom-score", func(s *spec.ContainerSpec) { s.OOMScoreAdj = spec.NewOOMScore(321) }, `cat /proc/self/oom_score_adj`, "321"},
		{"masked", nil, `wc -c < /proc/interrupts; wc -c < /proc/keys; ls /sys/firmware | wc -l; (echo x > /proc/keys) && echo gone`, "0\n0\n0\ngone"},
		{
			"masked-otherwise", func(s *spec.ContainerSpec) {
				s.Security.MaskedPaths = &[]string{"/proc/uptime", "/proc/absent", "/home/"}
			},
			`wc -c < /proc/uptime; ls /home | wc -l; ls /proc/absent 2>/dev/null || echo absent`, "0\n0\nabsent",
		},
		{
			"read-only", nil, `for f in /x /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /sys/x /sys/fs/cgroup/cgroup.freeze; do (echo b > $f) 2>&1 | grep -o 'Read-only file system'; done`,
			strings.Repeat("Read-only file system\n", 5),
		},
		{
			"read-only-otherwise", func(s *spec.ContainerSpec) { s.Security.ReadonlyPaths = &[]string{"/dev/shm"} },
			`(echo > /dev/shm/x) 2>&1 | grep -o 'Read-only file system'; echo box > /proc/sys/kernel/hostname; hostname`, "Read-only file system\nbox",
		},
		{
			"nothing-read-only", func(s *spec.ContainerSpec) { s.Security.MaskedPaths, s.Security.ReadonlyPaths = &empty, &empty },
			`awk '$5 ~ "^/proc/" {print}' /proc/self/mountinfo | wc -l`, "0",
		},
		{
			"mounts", func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{
					{Type: spec.MountTmpfs, Destination: "/tmp", Options: []string{"size=64k", "mode=0700"}},
					{Type: spec.MountBind, Source: n.path("rootfs", "etc"), Destination: "/tmp/etc", Options: []string{"ro"}},
					{Type: spec.MountBind, Source: n.path("rootfs", "etc", "hostname"), Destination: "/tmp/file"},
				}
			}, `stat -c %a /tmp; head -c 100000 /dev/zero 2>/dev/null > /tmp/big; stat -c %s /tmp/big; cat /tmp/etc/hostname /tmp/file; (touch /tmp/etc/x) 2>&1 | grep -o 'Read-only file system'`,
			"700\n65536\nrootfs\nrootfs\nRead-only file system",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := n.container(test.name, test.script)
			if test.change != nil {
				test.change(&c.Spec)
			}
			if got := n.say(t, c); strings.TrimSpace(got) != strings.TrimSpace(test.want) {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Exactly the three standard descriptors are open, and lead to nowhere and to the log.
func TestDescriptorsInside(t *testing.T) {
	n := open(t)
	got := n.say(t, n.container("web", `ls /proc/1/fd; readlink /proc/1/fd/0; echo to stderr >&2; stat -L -c %F /proc/1/fd/1 /proc/1/fd/2; echo reopened > /dev/stdout`))
	if want := "0\n1\n2\n/dev/null\nfifo\nfifo\nreopened\n"; strings.ReplaceAll(got, "to stderr\n", "") != want || !strings.Contains(got, "to stderr") {
		t.Errorf("got %q", got)
	}
}

// Standard input is the container's own /dev/null: what root in there does to it, the node's does not feel.
func TestStdinIsTheContainersOwn(t *testing.T) {
	n := open(t)
	var host unix.Stat_t
	must(t, unix.Stat(os.DevNull, &host))
	got := strings.Split(strings.TrimSpace(n.say(t, n.container("web", `stat -L -c %d:%i /proc/1/fd/0 /dev/null; chmod 0 /dev/null; stat -L -c %a /proc/1/fd/0; grep flags /proc/1/fdinfo/0`))), "\n")
	if len(got) != 4 || got[0] != got[1] || got[0] == fmt.Sprintf("%d:%d", host.Dev, host.Ino) || got[2] != "0" || got[3] != "flags:\t0100000" {
		t.Errorf("got %q, the node's is %d:%d", got, host.Dev, host.Ino)
	}
	var now unix.Stat_t
	must(t, unix.Stat(os.DevNull, &now))
	if now.Mode != host.Mode {
		t.Errorf("the node's /dev/null was of mode %o, is %o", host.Mode, now.Mode)
	}
}

// A FIFO in the place of /dev/null keeps no start waiting.
func TestStdinUnderAMount(t *testing.T) {
	n := open(t)
	must(t, unix.Mkfifo(n.path("fifo"), 0o600))
	c := n.container("web", `stat -L -c %F /proc/1/fd/0`)
	c.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: n.path("fifo"), Destination: os.DevNull}}
	if got := n.say(t, c); got != "fifo\n" {
		t.Errorf("got %q", got)
	}
}

// The exit code is the process's own, or says which signal ended it.
func TestExit(t *testing.T) {
	n := open(t)
	for _, test := range []struct {
		script, signal, reason string
		code                   int
	}{
		{"exit 0", "", spec.ExitCompleted, 0},
		{"exit 255", "", spec.ExitError, 255},
		{"kill -KILL $$; exit 3", "", spec.ExitError, 3},
		{`sh -c 'kill -SEGV $$'; exit $?`, "", spec.ExitError, 139},
	} {
		name := "exit-" + strconv.Itoa(test.code)
		n.run(t, n.container(name, test.script), 1)
		if got := n.await(t, name, 1, exited).Exit; got.Code != test.code || got.Signal != test.signal || got.Reason != test.reason {
			t.Errorf("%s: got %+v", test.script, got)
		}
	}
}
