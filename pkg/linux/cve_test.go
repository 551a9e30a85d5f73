package linux_test

import (
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

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// attack is one way in which other runtimes could be left. canary is a tree of the node that no container may touch; its rows check that as well.
type attack struct {
	cves  string
	about string
	check func(t *testing.T, n *node, canary string)
}

// attacks hold the regressions of 2016 to 2026 in what this node has.
var attacks = []attack{
	{"CVE-2016-3697", "a user of digits is an id, whatever names the image lists", func(t *testing.T, n *node, _ string) {
		n.image(t, "etc/passwd", "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n")
		n.says(t, "id -u; id -g", "1000\n0\n", func(s *spec.ContainerSpec) { s.User = "1000" })
	}},
	{"CVE-2026-30892 CVE-2026-46680", "ids are read exactly, and those that do not fit are refused", func(t *testing.T, n *node, _ string) {
		for user, want := range map[string]string{"1": "1 1", "1:1": "1 1", "2147483648:4": "2147483648 4", "4294967294": "4294967294 0"} {
			n.says(t, "echo $(id -u) $(id -g)", want+"\n", func(s *spec.ContainerSpec) { s.User = user })
		}
		for _, user := range []string{":1", "1:", "4294967295", "4294967296", "99999999999999999999", "1:4294967296", "-1", "0x0", "+0", " 0"} {
			n.refuses(t, nil, func(s *spec.ContainerSpec) { s.User = user })
		}
	}},
	{"CVE-2016-8867", "no user but root has capabilities that it was not given", func(t *testing.T, n *node, _ string) {
		n.says(t, `grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/1/status | cut -f 2 | uniq`, "0000000000000000\n", func(s *spec.ContainerSpec) { s.User = "web" })
	}},
	{"CVE-2022-24769 CVE-2022-27650 CVE-2022-29162", "nothing is inheritable", func(t *testing.T, n *node, _ string) {
		n.says(t, `grep CapInh /proc/1/status | cut -f 2`, "0000000000000000\n", func(s *spec.ContainerSpec) { s.Security.Capabilities.Add = []string{"NET_RAW", "MKNOD"} })
	}},
	{"CVE-2019-5736", "what a start runs from is a sealed copy in memory, not the agent's binary", neverTheBinary},
	{"CVE-2019-16884", "nothing is mounted over what programs trust in proc", func(t *testing.T, n *node, canary string) {
		n.image(t, "innocent", "->/proc/self")
		for _, m := range []spec.Mount{{Type: spec.MountTmpfs}, {Type: spec.MountBind, Source: canary}} {
			for _, m.Destination = range []string{"/proc", "/proc/self/attr", "/proc/1", "/x/../proc/sys"} {
				n.refuses(t, fs.ErrInvalid, func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} })
			}
			m.Destination = "/innocent/attr"
			n.refuses(t, nil, func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} })
		}
	}},
	{"CVE-2019-19921 CVE-2023-27561 CVE-2023-28642 CVE-2026-41579 CVE-2026-47766", "/proc, /sys and /dev of the image are no links", func(t *testing.T, n *node, canary string) {
		for _, base := range []string{"proc", "sys", "dev"} {
			for _, target := range []string{canary, "../../../../../../.." + canary, "bin"} {
				n.image(t, base, "->"+target)
				n.refuses(t, fs.ErrInvalid, nil)
			}
			must(t, os.Remove(n.path("rootfs", base)))
			must(t, os.Mkdir(n.path("rootfs", base), 0o755))
		}
	}},
	{"CVE-2019-18837", "links on the way to a mount's destination stay inside", func(t *testing.T, n *node, canary string) {
		n.image(t, "a", "->b/../../../../c")
		n.image(t, "c", "->/d")
		n.image(t, "d", "->"+canary)
		for _, destination := range []string{"/a/sub", "/a/new", "/d/sub"} {
			n.tries(t, `touch /a/x /a/sub/x`, func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Destination: destination}}
			})
		}
	}},
	{"CVE-2021-30465 CVE-2024-45310", "a destination that others swap for a link while it is mounted on stays inside", swappedDestination},
	{"CVE-2024-21626", "no descriptor of the node is open, and none is a working directory", func(t *testing.T, n *node, _ string) {
		n.says(t, `ls /proc/1/fd; true`, "0\n1\n2\n", nil)
		for fd := range 50 {
			n.refuses(t, nil, func(s *spec.ContainerSpec) { s.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", fd) })
		}
		n.image(t, "innocent", "->/proc/self/fd/7")
		for _, dir := range []string{"/innocent", "/innocent/..", "/proc/self/fd/7/../../.."} {
			n.tries(t, `[ "$(cat /etc/marker)" = rootfs ] && [ "$(stat -c %d:%i /)" = "$(stat -c %d:%i $(pwd)/$(pwd | sed 's|[^/]*|..|g'))" ] || echo outside`, func(s *spec.ContainerSpec) { s.WorkingDir = dir })
		}
	}},
	{"CVE-2025-31133 CVE-2025-62161 CVE-2025-52565 CVE-2026-88264 CVE-2026-88265", "the devices of the image are not used", func(t *testing.T, n *node, canary string) {
		for _, device := range []string{"null", "console", "ptmx", "tty", "stdout"} {
			n.image(t, "dev/"+device, "->"+canary+"/file")
		}
		n.image(t, "dev/pts", "->"+canary)
		n.says(t, `stat -c %t:%T /dev/null /proc/keys; echo x > /dev/null; ls -l /dev/console 2>/dev/null; readlink /proc/1/fd/0; echo end > /dev/stdout`, "1:3\n1:3\n/dev/null\nend\n", nil)
	}},
	{"CVE-2025-52881 CVE-2025-62596", "what is written to proc goes to proc", func(t *testing.T, n *node, canary string) {
		must(t, os.MkdirAll(n.path("rootfs", "proc", "sys", "net", "ipv4"), 0o755))
		n.image(t, "proc/sys/net/ipv4/ip_forward", "->"+canary+"/file")
		n.image(t, "proc/self", "->"+canary)
		n.says(t, `cat /proc/sys/net/ipv4/ip_forward`, "1\n", func(s *spec.ContainerSpec) {
			s.Sysctls, s.OOMScoreAdj = map[string]string{"net.ipv4.ip_forward": "1"}, spec.NewOOMScore(5)
		})
		for _, destination := range []string{"/proc/self/attr/exec", "/proc/self/sched", "/proc/sys/net", "/proc/sysrq-trigger"} {
			n.refuses(t, fs.ErrInvalid, func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: canary + "/file", Destination: destination}}
			})
		}
	}},
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(strings.ReplaceAll(a.cves, " ", ","), func(t *testing.T) {
			t.Log(a.about)
			n, canary := open(t), t.TempDir()
			must(t, os.Mkdir(filepath.Join(canary, "sub"), 0o755))
			must(t, os.WriteFile(filepath.Join(canary, "file"), []byte("canary"), 0o666))
			before := kerneltest.Take(t, kerneltest.Scope{Dirs: []string{canary}})
			a.check(t, n, canary)
			if diff := kerneltest.Diff(before, kerneltest.Take(t, kerneltest.Scope{Dirs: []string{canary}})); diff != nil {
				t.Errorf("the node's files changed: %q", diff)
			}
			if text, err := os.ReadFile(filepath.Join(canary, "file")); string(text) != "canary" {
				t.Errorf("the node's file says %q, %v", text, err)
			}
		})
	}
}

// image puts a file or, if the text begins with "->", a link into the rootfs.
func (n *node) image(t *testing.T, path, text string) { spoil(t, n.path("rootfs", path), text) }

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
	for _, command := range [][]string{{"/proc/self/exe", "keeper", "--check", "1"}, {"/bin/again", "--check", "1"}, {"/proc/1/exe", "keeper", "--check", "1"}} {
		_, _ = n.tries(t, "", func(s *spec.ContainerSpec) { s.Command = command })
	}
	if now, err := os.Stat("/proc/self/exe"); err != nil || now.Size() != own.Size() || !now.ModTime().Equal(own.ModTime()) {
		t.Errorf("the agent's binary changed (%v)", err)
	}
	n.run(t, n.container("running", forever), 1)
	if target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", n.look(t, "running", 1).Pid)); target != "/bin/busybox" {
		t.Errorf("a container's process runs from %q, %v", target, err)
	}
}

func swappedDestination(t *testing.T, n *node, canary string) {
	volume := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(volume, "x", "sub"), 0o755))
	must(t, os.Symlink(canary, filepath.Join(volume, "evil")))
	deadline := time.Now().Add(time.Second)
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for time.Now().Before(deadline) {
			_ = unix.Renameat2(unix.AT_FDCWD, volume+"/x", unix.AT_FDCWD, volume+"/evil", unix.RENAME_EXCHANGE)
		}
	})
	for time.Now().Before(deadline) {
		_, _ = n.tries(t, `echo x > /vol/x/sub/file; echo x > /vol/x/new/file`, func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{
				{Type: spec.MountBind, Source: volume, Destination: "/vol"},
				{Type: spec.MountTmpfs, Destination: "/vol/x/sub"},
				{Type: spec.MountBind, Source: "/dev/zero", Destination: "/vol/x/new/zero"},
			}
		})
	}
	swapper.Wait()
}
