package linux_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// cve is one way in which other runtimes could be left, or the reason why it cannot be one here. canary is a tree of the node that no
// container may touch; every row checks that as well.
type cve struct {
	ids   string
	about string
	check func(t *testing.T, n *node, canary string)
	moot  string // with no check: why there is nothing to attack
}

// published are those of 2016 to 2026 in runtimes like this one, and what was open in their trackers. Each is in cves.
var published = strings.Fields(`
	CVE-2016-3697 CVE-2016-8867 CVE-2016-9962 CVE-2019-5736 CVE-2019-16884 CVE-2019-18837 CVE-2019-19921 CVE-2021-30465 CVE-2021-43784
	CVE-2022-0492 CVE-2022-24769 CVE-2022-27650 CVE-2022-29162 CVE-2023-25809 CVE-2023-27561 CVE-2023-28642 CVE-2024-21626 CVE-2024-45310
	CVE-2025-24965 CVE-2025-31133 CVE-2025-62161 CVE-2025-52565 CVE-2025-52881 CVE-2025-62596 CVE-2026-30892 CVE-2026-41579 CVE-2026-47766
	CVE-2026-88264 CVE-2026-88265 CVE-2026-39822 CVE-2026-46680 runc#5272 runc#5258`)

// cves hold the attacks on what this node has.
var cves = []cve{
	{ids: "CVE-2016-3697", about: "a user of digits is an id, whatever names the image lists", check: func(t *testing.T, n *node, _ string) {
		n.image(t, "etc/passwd", "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n")
		n.says(t, "id -u; id -g", "1000\n0\n", func(s *spec.ContainerSpec) { s.User = "1000" })
		n.run(t, n.container("running", forever), 1)
		if got, _ := n.inside(t, "running", spec.Exec{Command: []string{"id", "-u"}, User: "1000"}, ""); got != "1000\n" {
			t.Errorf("a further process is %q", got)
		}
	}},
	{ids: "CVE-2026-30892 CVE-2026-46680", about: "ids are read exactly, and those that do not fit are refused", check: exactIDs},
	{ids: "CVE-2016-8867", about: "no user but root has capabilities that it was not given", check: func(t *testing.T, n *node, _ string) {
		const script = `grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f 2 | uniq`
		n.says(t, script, "0000000000000000\n", func(s *spec.ContainerSpec) { s.User = "web" })
		n.run(t, n.container("running", forever), 1)
		if got, _ := n.inside(t, "running", spec.Exec{Command: []string{"sh", "-c", script}, User: "web"}, ""); got != "0000000000000000\n" {
			t.Errorf("a further process has %q", got)
		}
	}},
	{ids: "CVE-2016-9962", about: "what is on its way into a container cannot be traced, read or robbed from inside", check: watchedExecs},
	{ids: "CVE-2022-24769 CVE-2022-27650 CVE-2022-29162", about: "nothing is inheritable", check: func(t *testing.T, n *node, _ string) {
		const script = `grep CapInh /proc/self/status | cut -f 2`
		n.says(t, script, "0000000000000000\n", func(s *spec.ContainerSpec) { s.Security.Capabilities.Add = []string{"NET_RAW", "MKNOD"} })
		n.run(t, n.container("running", forever), 1)
		e := spec.Exec{Command: []string{"sh", "-c", script}, Capabilities: spec.Capabilities{Add: []string{"NET_RAW"}}}
		if got, _ := n.inside(t, "running", e, ""); got != "0000000000000000\n" {
			t.Errorf("a further process has %q", got)
		}
	}},
	{ids: "CVE-2022-0492", about: "no release agent is set from inside, with users of its own or without", check: releaseAgents},
	{ids: "CVE-2023-25809", about: "the node's cgroups, where they are shown, are read-only", check: nodesCgroups},
	{ids: "CVE-2019-5736 runc#5272", about: "what a start runs from is a sealed copy in memory: not the agent's binary, and none that others have pages of", check: neverTheBinary},
	{ids: "CVE-2019-16884", about: "nothing is mounted over what programs trust in proc", check: func(t *testing.T, n *node, canary string) {
		n.image(t, "innocent", "->/proc/self")
		for _, m := range []spec.Mount{{Type: spec.MountTmpfs}, {Type: spec.MountBind, Source: canary}} {
			for _, m.Destination = range []string{"/proc", "/proc/self/attr", "/proc/1", "/x/../proc/sys"} {
				n.refuses(t, fs.ErrInvalid, func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} })
				n.refuses(t, fs.ErrInvalid, func(s *spec.ContainerSpec) { bare(s); s.Mounts = append(s.Mounts, m) })
			}
			m.Destination = "/innocent/attr"
			n.refuses(t, nil, func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} })
		}
	}},
	{ids: "CVE-2019-19921 CVE-2023-27561 CVE-2023-28642 CVE-2026-41579 CVE-2026-47766", about: "/proc, /sys and /dev of the image are no links, at Create and at Start", check: baseLinks},
	{ids: "CVE-2019-18837", about: "links on the way to a mount's destination stay inside", check: func(t *testing.T, n *node, canary string) {
		n.image(t, "a", "->b/../../../../c")
		n.image(t, "c", "->/d")
		n.image(t, "d", "->"+canary)
		for _, destination := range []string{"/a/sub", "/a/new", "/d/sub"} {
			n.tries(t, `touch /a/x /a/sub/x`, func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Destination: destination}}
			})
		}
	}},
	{ids: "CVE-2021-30465 CVE-2024-45310", about: "a destination that others swap for a link while it is mounted on stays inside", check: swappedDestination},
	{ids: "CVE-2024-21626", about: "no descriptor of the node is open, and none is a working directory", check: func(t *testing.T, n *node, _ string) {
		n.says(t, `ls /proc/1/fd; true`, "0\n1\n2\n", nil)
		for fd := range 50 {
			n.refuses(t, nil, func(s *spec.ContainerSpec) { s.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", fd) })
		}
		n.image(t, "innocent", "->/proc/self/fd/7")
		for _, dir := range []string{"/innocent", "/innocent/..", "/proc/self/fd/7/../../.."} {
			n.tries(t, `[ "$(cat /etc/marker)" = rootfs ] && [ "$(stat -c %d:%i /)" = "$(stat -c %d:%i $(pwd)/$(pwd | sed 's|[^/]*|..|g'))" ] || echo outside`, func(s *spec.ContainerSpec) { s.WorkingDir = dir })
		}
		n.run(t, n.container("running", forever), 1)
		for _, fd := range []string{"3", "7", "20", "49"} {
			for _, dir := range []string{"/proc/self/fd/" + fd, "/proc/1/fd/" + fd, "/proc/1/root/../.."} {
				s, err := n.Exec(t.Context(), "running", 1, spec.Exec{Command: []string{"sh", "-c", "pwd; cat /etc/marker"}, WorkingDir: dir})
				if err == nil {
					must(t, s.Close())
					t.Errorf("a further process has entered %s", dir)
				}
			}
		}
	}},
	{ids: "CVE-2025-31133 CVE-2025-62161 CVE-2026-88264 CVE-2026-88265", about: "the devices of the image are not used", check: imageDevices},
	{ids: "CVE-2025-52565", about: "the console is the terminal that the node has made, whatever is swapped under /dev/pts", check: swappedConsole},
	{ids: "CVE-2025-52881 CVE-2025-62596", about: "what is written to proc goes to proc", check: func(t *testing.T, n *node, canary string) {
		must(t, os.MkdirAll(n.path("rootfs", "proc", "sys", "net", "ipv4"), 0o755))
		n.image(t, "proc/sys/net/ipv4/ip_forward", "->"+canary+"/file")
		n.image(t, "proc/self", "->"+canary)
		n.says(t, `cat /proc/sys/net/ipv4/ip_forward`, "1\n", func(s *spec.ContainerSpec) {
			s.Sysctls, s.OOMScoreAdj = map[string]string{"net.ipv4.ip_forward": "1"}, spec.NewOOMScore(5)
		})
		for _, destination := range []string{"/proc/self/attr/exec", "/proc/self/sched", "/proc/sys/net", "/proc/sysrq-trigger"} {
			for _, base := range []func(*spec.ContainerSpec){func(*spec.ContainerSpec) {}, bare} {
				n.refuses(t, fs.ErrInvalid, func(s *spec.ContainerSpec) {
					base(s)
					s.Mounts = append(s.Mounts, spec.Mount{Type: spec.MountBind, Source: canary + "/file", Destination: destination})
				})
			}
		}
	}},
	{ids: "CVE-2025-24965", about: "what a start makes in a rootfs that it may write to stays in it", check: madeInTheRootfs},
	{ids: "runc#5258", about: "a cgroup file system shown with the node's namespace leaves the options of the node's own as they were", check: cgroupOptions},
	{ids: "CVE-2021-43784", moot: "no lengths are packed into netlink messages for a child: a start is one image in memory whose reader is fuzzed (FuzzUnmarshal); netlink is spoken in package netlink, whose attributes are fuzzed (FuzzAttributes)"},
	{ids: "CVE-2026-39822", moot: "nothing in a rootfs is opened through os.Root, which follows a last link before a slash: it is openat2 everywhere; os.Root is used for the agent's own records alone, and by names without a slash at their end"},
}

// Every row of the table is an attack on the kernel or a reason, and every published one has a row.
func TestEveryCVE(t *testing.T) {
	for _, id := range published {
		i := slices.IndexFunc(cves, func(c cve) bool { return slices.Contains(strings.Fields(c.ids), id) })
		switch {
		case i < 0:
			t.Errorf("%s has no row", id)
		case (cves[i].check == nil) == (cves[i].moot == ""):
			t.Errorf("%s needs a check, or a reason why there is none", id)
		case cves[i].check == nil:
			t.Logf("%s cannot apply: %s", id, cves[i].moot)
		default:
			t.Logf("%s: %s", id, cves[i].about)
		}
	}
}

// What a row says of the program's own text is true.
func TestNoRootInTheBackend(t *testing.T) {
	kerneltest.Root(t)
	hits := grep(t, ".", regexp.MustCompile(`os\.(OpenRoot|Root)\b`))
	if len(hits) > 0 {
		t.Errorf("os.Root is used in the backend: %q", hits)
	}
}

func TestAttacks(t *testing.T) {
	for _, a := range cves {
		if a.check == nil {
			continue
		}
		t.Run(strings.ReplaceAll(a.ids, " ", ","), func(t *testing.T) {
			t.Log(a.about)
			canary := kerneltest.Canary(t)
			before := kerneltest.HostFiles(t)
			a.check(t, open(t), canary)
			if diff := kerneltest.Diff(before, kerneltest.HostFiles(t)); diff != nil {
				t.Errorf("this machine changed: %q", diff)
			}
		})
	}
}

// image puts a file or, if the text begins with "->", a link into the rootfs.
func (n *node) image(t *testing.T, path, text string) { spoil(t, n.path("rootfs", path), text) }

// bare makes a container one with base None, the mounts that engines ask for, and a rootfs that is written to.
func bare(s *spec.ContainerSpec) {
	s.Base = spec.BaseNone
	s.Rootfs.ReadOnly, s.Rootfs.Writable = false, spec.Writable{Medium: spec.MediumDirect}
	s.Command[0] = "/bin/sh"
	s.Env = map[string]string{"PATH": "/bin"}
	s.Mounts = []spec.Mount{
		{Type: spec.MountProc, Destination: "/proc"},
		{Type: spec.MountTmpfs, Destination: "/dev", Options: []string{"nosuid", "mode=755", "size=64k"}},
		{Type: spec.MountDevpts, Destination: "/dev/pts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		{Type: spec.MountSysfs, Destination: "/sys", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}
}

// tries runs a script, which may also not start, in a writable container; it must not say that it is outside.
func (n *node) tries(t *testing.T, script string, change func(*spec.ContainerSpec)) (said string, err error) {
	t.Helper()
	c := n.writable("web", script, spec.Writable{})
	if change != nil {
		change(&c.Spec)
	}
	if err = n.Create(t.Context(), c, 1, spec.DefaultsVersion); err == nil {
		if err = n.Start(t.Context(), "web", 1); err == nil {
			n.await(t, "web", 1, exited)
			said = n.output(t, "web")
		}
	}
	must(t, n.Destroy(t.Context(), "web", 1, false))
	if strings.Contains(said, "outside") {
		t.Errorf("%+v: %s", c.Spec, said)
	}
	return said, err
}

func (n *node) says(t *testing.T, script, want string, change func(*spec.ContainerSpec)) {
	t.Helper()
	if said, err := n.tries(t, script, change); said != want || err != nil {
		t.Errorf("got %q, %v, want %q", said, err, want)
	}
}

// refuses demands an error of a kind, nil for any.
func (n *node) refuses(t *testing.T, kind error, change func(*spec.ContainerSpec)) {
	t.Helper()
	if said, err := n.tries(t, "echo started", change); err == nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("got %q, %v, want a refusal (%v)", said, err, kind)
	}
}

// exactIDs are users as numbers, of starts and of further processes.
func exactIDs(t *testing.T, n *node, _ string) {
	const script = "echo $(id -u) $(id -g)"
	n.run(t, n.container("running", forever), 1)
	for user, want := range map[string]string{"1": "1 1", "1:1": "1 1", "2147483648:4": "2147483648 4", "4294967294": "4294967294 0"} {
		n.says(t, script, want+"\n", func(s *spec.ContainerSpec) { s.User = user })
		if got, _ := n.inside(t, "running", spec.Exec{Command: []string{"sh", "-c", script}, User: user}, ""); got != want+"\n" {
			t.Errorf("%s: a further process is %q", user, got)
		}
	}
	for _, user := range []string{":1", "1:", "4294967295", "4294967296", "99999999999999999999", "1:4294967296", "-1", "0x0", "+0", " 0", "\uff11"} {
		n.refuses(t, nil, func(s *spec.ContainerSpec) { s.User = user })
		if s, err := n.Exec(t.Context(), "running", 1, spec.Exec{Command: []string{"id"}, User: user}); err == nil {
			must(t, s.Close())
			t.Errorf("a further process runs as %q", user)
		}
	}
}

// baseLinks are images whose base directories are links, before Create, and between Create and Start.
func baseLinks(t *testing.T, n *node, canary string) {
	for _, base := range []string{"proc", "sys", "dev"} {
		for _, target := range []string{canary, "../../../../../../.." + canary, "bin"} {
			for _, change := range []func(*spec.ContainerSpec){nil, bare, func(s *spec.ContainerSpec) { s.TTY = true }} {
				n.image(t, base, "->"+target)
				n.refuses(t, fs.ErrInvalid, change)
			}
			must(t, os.Remove(n.path("rootfs", base)))
			must(t, os.Mkdir(n.path("rootfs", base), 0o755))
			c := n.writable("web", "", spec.Writable{})
			must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
			n.image(t, base, "->"+target)
			if err := n.Start(t.Context(), "web", 1); err == nil || !strings.Contains(err.Error(), "/"+base) {
				t.Errorf("/%s became a link to %s: %v", base, target, err)
			}
			must(t, n.Destroy(t.Context(), "web", 1, false))
		}
		must(t, os.Remove(n.path("rootfs", base)))
		must(t, os.Mkdir(n.path("rootfs", base), 0o755))
	}
}

// imageDevices are device names of the image that lead to the node's files, with a /dev made for the container and with the image's own.
func imageDevices(t *testing.T, n *node, canary string) {
	for _, device := range []string{"null", "console", "ptmx", "tty", "stdout", "zero"} {
		n.image(t, "dev/"+device, "->"+canary+"/file")
	}
	n.image(t, "dev/pts", "->"+canary)
	const script = `stat -c %t:%T /dev/null /proc/keys; echo x > /dev/null; ls -l /dev/console 2>/dev/null; readlink /proc/1/fd/0; echo end > /dev/stdout`
	n.says(t, script, "1:3\n1:3\n/dev/null\nend\n", nil)
	masked := &[]string{"/proc/keys", "/proc/sysrq-trigger"}
	bareDev := func(s *spec.ContainerSpec) { // what CVE-2026-88264 needs: no mount on /dev at all
		bare(s)
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m spec.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
		s.Security.MaskedPaths = masked
	}
	for _, tty := range []bool{false, true} {
		said, err := n.tries(t, `stat -L -c %t:%T /proc/keys /proc/sysrq-trigger; echo x > /dev/null; echo y > /dev/zero; echo z > /dev/console`, func(s *spec.ContainerSpec) { bareDev(s); s.TTY = tty })
		if err == nil && !strings.HasPrefix(strings.ReplaceAll(said, "\r", ""), "1:3\n1:3\n") {
			t.Errorf("masked paths are %q", said)
		}
		t.Logf("a rootfs with such a /dev, terminal %v: %q, %v", tty, said, err)
	}
	for _, device := range []string{"null", "console", "ptmx", "tty", "stdout", "zero", "pts"} {
		must(t, os.RemoveAll(n.path("rootfs", "dev", device)))
	}
	n.image(t, "dev/null", "->/proc/sys/kernel/core_pattern") // the very image of CVE-2025-31133
	n.says(t, `stat -c %t:%T /proc/keys`, "1:3\n", nil)
	if said, err := n.tries(t, `stat -c %t:%T /proc/keys`, bareDev); err == nil && said != "1:3\n" {
		t.Errorf("masked with the node's core_pattern: %q", said)
	}
}

// madeInTheRootfs is a start that makes mount points, devices and injected files in a rootfs full of links.
func madeInTheRootfs(t *testing.T, n *node, canary string) {
	for _, target := range []string{canary, "../../../../../../../.." + canary} {
		for _, name := range []string{"data", "krun", "etc/hosts", "etc/hostname", "etc/resolv.conf", "tmp/x"} {
			n.image(t, name, "->"+target+"/new-"+strings.ReplaceAll(name, "/", "-"))
		}
		for _, base := range []func(*spec.ContainerSpec){bare, func(s *spec.ContainerSpec) {
			s.Rootfs.Writable = spec.Writable{Medium: spec.MediumDirect}
		}} {
			said, err := n.tries(t, `echo x > /krun; echo x > /tmp/x; echo x > /etc/hosts; echo x > /data/file; echo started`, func(s *spec.ContainerSpec) {
				base(s)
				s.Network.DNS.Nameservers, s.Network.Hosts = []string{"192.0.2.1"}, map[string]string{"x": "192.0.2.2"}
				s.Mounts = append(s.Mounts, spec.Mount{Type: spec.MountTmpfs, Destination: "/data"},
					spec.Mount{Type: spec.MountBind, Source: "/dev/zero", Destination: "/krun/zero"}, spec.Mount{Type: spec.MountTmpfs, Destination: "/tmp/x/deep"})
				s.Devices = []spec.Device{{Path: "/data/null", Type: spec.DeviceChar, Major: spec.NewNumber(1), Minor: spec.NewNumber(3)}}
			})
			t.Logf("%q, %v", said, err)
		}
	}
}

// releaseAgents are the programs that the kernel starts, on the node, when a cgroup of version 1 is left.
func releaseAgents(t *testing.T, n *node, canary string) {
	script := `for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release 2>/dev/null); do (echo 1 > $f) 2>/dev/null && echo outside $f; done
		mkdir -p /tmp/cg; for c in memory rdma cpu pids misc net_cls; do mount -t cgroup -o $c none /tmp/cg 2>/dev/null && { (echo ` + canary + `/file > /tmp/cg/release_agent) 2>/dev/null && echo outside $c; umount /tmp/cg; }; done; echo end`
	kinds := []func(*spec.ContainerSpec){func(*spec.ContainerSpec) {}, bare, func(s *spec.ContainerSpec) { s.Namespaces.Cgroup = spec.NamespaceHost }}
	if feature.UserNamespaces.Probe() == nil {
		kinds = append(kinds, func(s *spec.ContainerSpec) {
			s.Namespaces.User.Mode = spec.UserAuto
			s.Security.Capabilities.Add, s.Security.Seccomp = []string{"SYS_ADMIN"}, spec.SeccompUnconfined
		})
	}
	for _, kind := range kinds {
		n.says(t, script, "end\n", kind)
	}
}

// nodesCgroups are shown by manifests that say so.
func nodesCgroups(t *testing.T, n *node, _ string) {
	script := `echo at $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null | head -n 1)
		for f in $(find /sys/fs/cgroup -maxdepth 3 -name cgroup.procs 2>/dev/null | head -n 8); do (echo 0 > $f) 2>/dev/null && echo outside $f; mkdir ${f%/*}/escape 2>/dev/null && echo outside ${f%/*}; done; echo end`
	for _, user := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
		if user == spec.UserAuto && feature.UserNamespaces.Probe() != nil {
			continue
		}
		said, err := n.tries(t, script, func(s *spec.ContainerSpec) { s.Namespaces.Cgroup, s.Namespaces.User.Mode = spec.NamespaceHost, user })
		if err != nil || !strings.HasSuffix(said, "end\n") || !strings.HasPrefix(said, "at /sys/fs/cgroup") {
			t.Errorf("users %s: %q, %v", user, said, err)
		}
	}
}

// cgroupOptions compares the options of the file systems, which all mounts of one share.
func cgroupOptions(t *testing.T, n *node, _ string) {
	options := func() (lines []string) {
		text, err := os.ReadFile("/proc/self/mountinfo")
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " - cgroup") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	before := options()
	for _, change := range []func(*spec.ContainerSpec){
		func(s *spec.ContainerSpec) { s.Namespaces.Cgroup = spec.NamespaceHost },
		func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{{Type: spec.MountCgroup2, Destination: "/cg"}} },
		func(s *spec.ContainerSpec) {
			bare(s)
			s.Namespaces.Cgroup = spec.NamespaceHost
			s.Mounts = append(s.Mounts, spec.Mount{Type: spec.MountCgroup2, Destination: "/sys/fs/cgroup", Options: []string{"ro"}})
		},
	} {
		said, err := n.tries(t, "echo started", change)
		if now := options(); !slices.Equal(now, before) {
			t.Errorf("the node's cgroup mounts were %q, are %q", before, now)
		}
		t.Logf("%q, %v", said, err)
	}
}

func neverTheBinary(t *testing.T, n *node, _ string) {
	exe, err := os.Open(fmt.Sprintf("/proc/%d/exe", n.keeper(t)))
	must(t, err)
	defer exe.Close()
	seals, err := unix.FcntlInt(exe.Fd(), unix.F_GET_SEALS, 0)
	if all := unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL; err != nil || seals&all != all {
		t.Errorf("the keeper's binary has seals %#x, %v", seals, err)
	}
	own, err := os.Stat("/proc/self/exe")
	must(t, err)
	if keeper, err := exe.Stat(); err != nil || os.SameFile(own, keeper) {
		t.Errorf("the keeper runs from the agent's binary (%v)", err)
	}
	n.image(t, "bin/again", "#!/proc/self/exe keeper\n")
	must(t, os.Chmod(n.path("rootfs", "bin", "again"), 0o755))
	n.run(t, n.container("running", forever), 1)
	for _, command := range [][]string{{"/proc/self/exe", "keeper", "--check", "1"}, {"/bin/again", "--check", "1"}, {"/proc/1/exe", "keeper", "--check", "1"}} {
		_, _ = n.tries(t, "", func(s *spec.ContainerSpec) { s.Command = command })
		if s, err := n.Exec(t.Context(), "running", 1, spec.Exec{Command: command}); err == nil {
			_, _ = s.Wait(t.Context())
			must(t, s.Close())
		}
	}
	if now, err := os.Stat("/proc/self/exe"); err != nil || now.Size() != own.Size() || !now.ModTime().Equal(own.ModTime()) {
		t.Errorf("the agent's binary changed (%v)", err)
	}
	if target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", n.look(t, "running", 1).Pid)); target != "/bin/busybox" {
		t.Errorf("a container's process runs from %q, %v", target, err)
	}
}
