package linux_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute/nofile"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// said is a container on the node's rootfs, with what a manifest says of it below spec.
func (n *node) said(t *testing.T, name, script, yaml string) spec.Container {
	t.Helper()
	head := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:\n  rootfs: {path: %q, readOnly: true}\n  command: [/bin/sh, -c, %q]\n", spec.APIVersion, spec.KindContainer, name, n.path("rootfs"), script)
	documents, problems := spec.Decode(name, []byte(head+yaml+"\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	return documents[0].Container
}

// A manifest says what the process inherits, and a container that says nothing finds nothing of the node's.
func TestAttributesInside(t *testing.T) {
	n := open(t)
	for _, test := range []struct{ name, yaml, script, want string }{
		{"nothing", "", `cat /proc/sys/kernel/domainname /proc/self/personality /proc/self/timens_offsets; ionice -p $$`, "(none)\n00000000\nmonotonic           0         0\nboottime            0         0\nnone: prio 0"},
		{"domain-name", "  domainname: example.net", `cat /proc/sys/kernel/domainname; hostname`, "example.net\ndomain-name"},
		{"scheduler", "  scheduler: {policy: BATCH, nice: 7}\n  ioPriority: {class: BE, priority: 1}", `read -r line < /proc/$$/stat; set -- ${line##*)}; echo ${17} ${39}; ionice -p $$`, "7 3\nbest-effort: prio 1"},
		{"processors", "  cpuAffinity: {initial: \"0\", final: \"0\"}", `grep Cpus_allowed_list /proc/self/status | cut -f 2`, "0"},
		{"memory", "  memoryPolicy: {mode: PREFERRED, nodes: \"0\"}", `head -n 1 /proc/$$/numa_maps | cut -d ' ' -f 2`, "prefer:0"},
		{"personality", "  personality: {domain: LINUX32}", `cat /proc/self/personality`, "00000008"},
		{
			"five-sets", "  user: web\n  security: {capabilities: {bounding: [CHOWN, KILL], permitted: [CHOWN], inheritable: [CHOWN], ambient: [CHOWN]}}",
			`grep ^Cap /proc/self/status | cut -f 2 | sed 's/^0*//' | tr '\n' ' '`, "1 1 1 21 1",
		},
		{"five-sets-without-ambient", "  user: web\n  security: {capabilities: {bounding: [CHOWN], permitted: [CHOWN], effective: [CHOWN]}}", `grep ^Cap /proc/self/status | cut -f 2 | sed 's/^0*//' | tr '\n' ' '`, "1"},
		{"keyring", "  security: {keyring: Inherit}", `echo up`, "up"},
		{"init", "  init: true\n  scheduler: {nice: 3}\n  domainname: x", `read -r line < /proc/$$/stat; set -- ${line##*)}; echo ${17}; cat /proc/sys/kernel/domainname`, "3\nx"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := n.say(t, n.said(t, test.name, test.script, test.yaml)); strings.TrimSpace(got) != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// With base None a container has the variables that are said, numbers for users, and the keeper's limits.
func TestBaseNone(t *testing.T) {
	n := open(t)
	var core unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &core))
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", n.keeper(t)))
	must(t, err)
	text := func(n uint64) string {
		if n == unix.RLIM_INFINITY {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	c := n.said(t, "web", `busybox env | grep -vE '^(PWD|SHLVL|OLDPWD|_)='; id -u; id -g; id -G; cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn; ulimit -Hf; grep 'core file' /proc/self/limits | sed 's/  */ /g' | cut -d ' ' -f 6`, `
  base: None
  mounts: [{type: tmpfs, destination: /tmp}]
  user: "1000:1001"
  additionalGroups: ["1001", "7", "4294967294"]
  env: {PATH: /bin}
  rlimits: {fsize: {soft: 512000, hard: 512000}}`)
	c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: spec.MountProc, Destination: "/proc"}) // as the OCI command line says it
	want := fmt.Sprintf("HOME=/home/web\nPATH=/bin\n1000\n1001\n1001 7 4294967294\n%s%s\n%s\n1000\n%s\n", score, text(nofile.Initial.Soft), text(nofile.Initial.Hard), text(core.Max))
	if got := n.say(t, c); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, user := range []string{"web", "1000:web", "4294967295", "01x"} {
		c.Spec.User = user
		if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("user %q: got %v", user, err)
		}
	}
}

// What Landlock does not name cannot be reached, by root either.
func TestLandlock(t *testing.T) {
	n := open(t)
	kerneltest.Require(t, feature.Landlock)
	const refused = `2>&1 | grep -o 'Permission denied'`
	for _, test := range []struct{ name, yaml, script, want string }{
		{"read", "{execute: [/bin], readOnly: [/etc]}", `cat /etc/marker; (cat /proc/uptime) ` + refused + `; (ls /home) ` + refused + `; (echo x > /dev/null) ` + refused, "rootfs\n" + strings.Repeat("Permission denied\n", 3)},
		{"write", "{execute: [/bin], readWrite: [/tmp]}", `echo x > /tmp/x; mkdir /tmp/d; mv /tmp/x /tmp/d/y; cat /tmp/d/y; rm -r /tmp/d; ls /tmp; (echo > /dev/shm/x) ` + refused, "x\nPermission denied\n"},
		{"execute", "{execute: [/bin/busybox], readWrite: [/tmp]}", `cp /bin/busybox /tmp/b; (/tmp/b true) ` + refused + `; /bin/busybox true && echo ran`, "Permission denied\nran\n"},
		{"a-file", "{execute: [/bin], readOnly: [/etc/marker]}", `cat /etc/marker; (cat /etc/passwd) ` + refused, "rootfs\nPermission denied\n"},
		{"bind", "{tcpBind: [8080], tcpConnect: [8080]}", `nc -l -p 81 -e true ` + refused + `; (nc 127.0.0.1 80 </dev/null) ` + refused + `; nc -l -p 8080 -e echo reached & while ! nc 127.0.0.1 8080 </dev/null; do sleep 0.02; done 2>/dev/null`, "Permission denied\nPermission denied\nreached\n"},
		{"no-ports", "{tcpBind: []}", `nc -l -p 8080 -e true ` + refused, "Permission denied\n"},
		{"as-a-user", "{execute: [/bin], readOnly: [/proc]}", `grep -E '^(NoNewPrivs|CapEff)' /proc/self/status; (cat /etc/marker) ` + refused, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nPermission denied\n"},
		{"new-privileges", "{execute: [/bin], readOnly: [/proc]}", `grep NoNewPrivs /proc/self/status; (cat /etc/marker) ` + refused, "NoNewPrivs:\t0\nPermission denied\n"},
		{"init", "{execute: [/bin], readOnly: [/etc]}", `cat /etc/marker; (cat /proc/uptime) ` + refused, "rootfs\nPermission denied\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := n.said(t, test.name, test.script, "  mounts: [{type: tmpfs, destination: /tmp}]\n  security: {landlock: "+test.yaml+"}")
			c.Spec.Init = test.name == "init"
			c.Spec.Security.AllowNewPrivileges = test.name == "new-privileges"
			if test.name == "as-a-user" {
				c.Spec.User = "web"
			}
			if got := n.say(t, c); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
	t.Run("missing path", func(t *testing.T) {
		c := n.said(t, "missing", "true", "  security: {landlock: {execute: [/bin, /absent]}}")
		must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
		err := n.Start(t.Context(), "missing", 1)
		if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "cannot allow by Landlock /absent") {
			t.Errorf("got %v", err)
		}
	})
}

// A link that the rootfs puts where a path is said leads to what is inside, and allows no more than it says.
func TestLandlockStaysInside(t *testing.T) {
	n := open(t)
	kerneltest.Require(t, feature.Landlock)
	must(t, os.Symlink("/../../../../../etc", n.path("rootfs", "config")))
	must(t, os.Symlink("/proc/1/root", n.path("rootfs", "magic")))
	c := n.said(t, "web", `cat /config/marker; cat /etc/marker`, "  security: {landlock: {execute: [/bin], readOnly: [/config]}}")
	if got := n.say(t, c); got != "rootfs\nrootfs\n" {
		t.Errorf("got %q", got)
	}
	c = n.said(t, "web", "true", "  security: {landlock: {execute: [/bin], readOnly: [/magic]}}")
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	if err := n.Start(t.Context(), "web", 1); !errors.Is(err, unix.ELOOP) {
		t.Errorf("got %v", err)
	}
}

// A container's clocks are ahead of the node's, or behind, from its command's first instruction on.
func TestClocks(t *testing.T) {
	n := open(t)
	kerneltest.Require(t, feature.TimeNamespaces)
	uptime := func(text string) int {
		t.Helper()
		seconds, _, _ := strings.Cut(text, ".")
		return atoi(t, seconds)
	}
	now := func() int {
		text, err := os.ReadFile("/proc/uptime")
		must(t, err)
		return uptime(string(text))
	}
	for _, init := range []bool{false, true} {
		for offset, seconds := range map[string]int{"100h": 360000, "-1s": -1} {
			before := now()
			c := n.said(t, "web", `cat /proc/uptime`, "  namespaces: {time: {boottime: "+offset+"}}")
			c.Spec.Init = init
			got := uptime(n.say(t, c)) - seconds
			if after := now(); got < before || got > after {
				t.Errorf("%s: the node's uptime was %d and is %d, the container's was %d without its offset", offset, before, after, got)
			}
		}
	}
	c := n.said(t, "web", `sed 's/  */ /g' /proc/self/timens_offsets`, "  namespaces: {time: {monotonic: 1h0m0.5s, boottime: -1s500ms}}")
	if got := n.say(t, c); got != "monotonic 3600 500000000\nboottime -2 500000000\n" {
		t.Errorf("got %q", got)
	}
	c = n.said(t, "web", forever, "  namespaces: {time: {mode: Private}}")
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	if own := n.running(t, "web", 1)["time"]; own == namespaces(t, os.Getpid())["time"] {
		t.Error("a private time namespace is the node's")
	}
	c = n.said(t, "early", "true", "  namespaces: {time: {boottime: -80000h}}")
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	if err := n.Start(t.Context(), "early", 1); !errors.Is(err, unix.ERANGE) || !strings.Contains(err.Error(), "cannot set clocks monotonic 0s, boottime -80000h0m0s") {
		t.Errorf("before the beginning: got %v", err)
	}
}

// What this node cannot give is refused before anything is made, by name.
func TestUnsupportedAttributes(t *testing.T) {
	n := open(t)
	for what, test := range map[string]struct {
		feature *feature.Feature
		yaml    string
	}{
		"apparmor": {feature.AppArmor, "  security: {apparmor: docker-default}"},
		"selinux":  {feature.SELinux, "  security: {selinux: {label: \"a:b:c\"}}"},
		"landlock": {feature.Landlock, "  security: {landlock: {execute: [/]}}"},
		"timens":   {feature.TimeNamespaces, "  namespaces: {time: {mode: Private}}"},
	} {
		if test.feature.Probe() == nil {
			continue // shown elsewhere
		}
		c := n.said(t, what, "true", test.yaml)
		if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), what+" is not supported") {
			t.Errorf("%s: got %v", what, err)
		}
		if all, err := n.ObserveOne(t.Context(), what); err != nil || len(all) > 0 {
			t.Errorf("%s: %v, %v", what, all, err)
		}
	}
}
