package mount_test

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
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// canary is a tree of the node that no container may touch; check fails if one did.
func canary(t testing.TB) (dir string, check func()) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{"sub", "shm", "pts", "fs/cgroup"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for _, f := range []string{"file", "null", "ptmx", "kcore", "sub/inner"} {
		must(t, os.WriteFile(filepath.Join(dir, f), []byte("canary"), 0o644))
	}
	before := snapshot(t, dir)
	return dir, func() { t.Helper(); same(t, "canary", snapshot(t, dir), before) }
}

// CVE-2019-19921, 2023-27561, 2023-28642, 2026-41579: /proc, /sys or /dev of the image is a link.
func TestBaseIsALink(t *testing.T) {
	dir, check := canary(t)
	for _, base := range []string{"proc", "sys", "dev"} {
		for _, target := range []string{dir, "../../../../../../../../.." + dir, "/bin", "bin/../bin", "missing", base} {
			for _, ro := range []bool{false, true} {
				root := newRootfs(t)
				must(t, os.Symlink(target, filepath.Join(root, base)))
				_, err := run(t, container(root, func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly = ro }), "", "true")
				if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "symbolic link") {
					t.Errorf("/%s -> %s: %v", base, target, err)
				}
			}
		}
	}
	check()
}

// The same with the link put there after the agent has looked: the child itself refuses.
func TestBaseBecomesALink(t *testing.T) {
	dir, check := canary(t)
	for _, base := range []string{"proc", "sys", "dev"} {
		root := newRootfs(t, "proc", "sys", "dev")
		c := container(root, func(s *spec.ContainerSpec) { s.Network.Mode = spec.NetworkHost })
		p, files, err := prepare(c, "", "true")
		must(t, err)
		must(t, os.Remove(filepath.Join(root, base)))
		must(t, os.Symlink(dir, filepath.Join(root, base)))
		err = start(t, p, files)
		if want := "cannot open mount point /" + base; !errors.Is(err, unix.ELOOP) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", base, err, want)
		}
	}
	check()
}

// start runs a prepared program of a container on the node's network until it ends.
func start(t testing.TB, p *process.Program, files mount.Files) error {
	t.Helper()
	defer files.Close()
	sandbox, err := network.Make(spec.NetworkHost)
	must(t, err)
	defer sandbox.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	must(t, err)
	defer null.Close()
	files["ipc"], files["uts"], files["out"] = sandbox.IPC, sandbox.UTS, null
	child, err := process.Start(p, files)
	if err != nil {
		return err
	}
	defer child.Pidfd.Close()
	_, err = process.Reap(child.Pidfd)
	return err
}

// CVE-2019-16884: a link of the image leads a mount onto /proc; the real one lies over it, or the start is refused.
func TestMountLedOntoABase(t *testing.T) {
	dir, check := canary(t)
	for _, base := range []string{"/proc", "/sys", "/dev", "/proc/self", "/dev/null"} {
		root := newRootfs(t, "proc", "sys", "dev")
		must(t, os.Symlink(base, filepath.Join(root, "innocent")))
		for _, m := range []spec.Mount{{Type: "tmpfs"}, {Type: "bind", Source: dir}} {
			m.Destination = "/innocent"
			got, err := run(t, container(root, func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} }), "",
				`busybox stat -f -c %T /proc /sys; busybox stat -c %t:%T /dev/null`)
			if err == nil {
				same(t, base, got, "proc\nsysfs\n1:3")
			} else if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.ENOENT) {
				t.Errorf("%s: %v", base, err)
			}
		}
	}
	check()
}

// CVE-2019-18837: links on the way to a mount's destination lead out of the container.
func TestDestinationLinks(t *testing.T) {
	dir, check := canary(t)
	for name, links := range map[string]map[string]string{
		"absolute":  {"data": dir},
		"relative":  {"data": "../../../../../../../../../../.." + dir},
		"chain":     {"data": "a", "a": "/b", "b": "c/../../../../..", "c": dir},
		"parent":    {"d": dir},
		"to itself": {"data": "data"},
		"dangling":  {"data": "/nowhere/at/all"},
		"proc root": {"data": "/proc/1/root" + dir},
		"proc fd":   {"data": "/proc/self/fd/7"},
	} {
		for _, destination := range []string{"/data", "/data/sub", "/data/new/file", "/d/sub"} {
			root := newRootfs(t, "proc")
			for link, target := range links {
				must(t, os.Symlink(target, filepath.Join(root, link)))
			}
			for _, m := range []spec.Mount{{Type: "tmpfs"}, {Type: "bind", Source: "/dev/zero"}} {
				m.Destination = destination
				before := mountinfo(t)
				_, err := run(t, container(root, func(s *spec.ContainerSpec) { s.Mounts = []spec.Mount{m} }), "", `busybox touch /data/x /d/sub/x /data/new/x`)
				var failure *process.Error
				if err != nil && !errors.As(err, &failure) {
					t.Errorf("%s %s: %v", name, destination, err)
				}
				same(t, "the node's mounts", mountinfo(t), before)
			}
		}
	}
	check()
}

func mountinfo(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	return string(text)
}

// CVE-2021-30465, 2024-45310: a volume shared with another container swaps a directory for a link while mounts are made
// below it. Whatever a start sees, it stays inside.
func TestSwappedDestination(t *testing.T) {
	dir, check := canary(t)
	volume := t.TempDir()
	targets := []string{dir, "../../../../../../../.." + dir, "/proc/self/root" + dir, "/proc", "/dev"}
	root := newRootfs(t)
	before := mountinfo(t)

	for _, target := range targets {
		must(t, os.RemoveAll(filepath.Join(volume, "x")))
		must(t, os.RemoveAll(filepath.Join(volume, "evil")))
		must(t, os.MkdirAll(filepath.Join(volume, "x/deep"), 0o755))
		must(t, os.Symlink(target, filepath.Join(volume, "evil")))
		stop := make(chan struct{})
		var swapper sync.WaitGroup
		swapper.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, volume+"/x", unix.AT_FDCWD, volume+"/evil", unix.RENAME_EXCHANGE)
				}
			}
		})
		started, refused := 0, 0
		for deadline := time.Now().Add(raceTime()); time.Now().Before(deadline); {
			c := container(root, func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{
					{Type: "bind", Source: volume, Destination: "/vol"},
					{Type: "tmpfs", Destination: "/vol/x/sub"},
					{Type: "bind", Source: "/dev/zero", Destination: "/vol/x/new/zero"},
				}
				s.Security.MaskedPaths = &[]string{"/vol/x/deep", "/proc/timer_list"}
				s.Network.Mode = spec.NetworkHost
			})
			p, files, err := prepare(c, "", "echo written > /vol/x/sub/file")
			must(t, err)
			var failure *process.Error
			switch err := start(t, p, files); {
			case err == nil:
				started++
			case errors.As(err, &failure):
				refused++
			default:
				t.Fatal(err)
			}
		}
		close(stop)
		swapper.Wait()
		t.Logf("swapped with %s: %d started, %d refused", target, started, refused)
	}
	check()
	same(t, "the node's mounts", mountinfo(t), before)
}

// raceTime is how long one race is run.
func raceTime() time.Duration {
	if os.Getenv("RECONCILER_SOAK") == "1" {
		return time.Minute
	}
	return 300 * time.Millisecond
}

// CVE-2025-31133, 2026-88264: the image's own /dev, with a null that is something else, is never used.
func TestDevicesOfTheImage(t *testing.T) {
	dir, check := canary(t)
	root := newRootfs(t, "dev/pts", "dev/shm")
	must(t, os.Symlink(filepath.Join(dir, "null"), filepath.Join(root, "dev/null")))
	must(t, os.Symlink(filepath.Join(dir, "ptmx"), filepath.Join(root, "dev/ptmx")))
	must(t, unix.Mknod(filepath.Join(root, "vda"), unix.S_IFBLK|0o666, int(unix.Mkdev(254, 0))))
	got := sh(t, container(root, nil), `echo x > /dev/null; busybox stat -c %t:%T /dev/null /proc/timer_list; busybox head -c 1 /vda 2>&1`)
	same(t, "inside", got, "1:3\n1:3\nhead: /vda: Permission denied")
	check()
}

// CVE-2024-21626: no descriptor of the node is open when the command runs.
func TestNoDescriptorLeaks(t *testing.T) {
	dir := t.TempDir()
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: "bind", Source: dir, Destination: "/data"}, {Type: "tmpfs", Destination: "/t"}}
	})
	p, files, err := prepare(c, "", "true")
	must(t, err)
	defer files.Close()
	if op := p.Ops[len(p.Ops)-1]; op.Nr != unix.SYS_EXECVE {
		t.Fatal("the last op is not execve")
	}
	for name, f := range files {
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s stays open over execve (%v)", name, err)
		}
	}
	same(t, "descriptors", sh(t, c, `for f in /proc/self/fd/*; do t=$(busybox readlink $f); case $t in /data*|/t*|/|/proc|/sys|/dev|mnt:*) echo $t;; esac; done`), "")
}

// A start that fails at any op leaves nothing behind; TestMain counts.
func TestFailedStarts(t *testing.T) {
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Network.Mode = spec.NetworkHost
		s.Mounts = []spec.Mount{{Type: "bind", Source: t.TempDir(), Destination: "/data/deep"}}
	})
	p, files, err := prepare(c, "", "true")
	must(t, err)
	files.Close()
	for i := range p.Ops {
		p, files, err := prepare(c, "", "true")
		must(t, err)
		p.Ops[i].Nr, p.Ops[i].Accept = 1<<20, process.Errnos{}
		if err := start(t, p, files); err == nil && !skipped(p, i) {
			t.Errorf("op %d (%s %s) failed and the start succeeded", i, p.Ops[i].Step, p.Ops[i].Path)
		}
	}
}

// The same of a start with everything: base None, a terminal, a user namespace, a rootfs that is written to.
func TestFailedStartsWithEverything(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	user, err := namespace.NewUser(ids.UIDs, ids.GIDs)
	must(t, err)
	defer user.Close()
	root := newRootfs(t)
	must(t, os.Chown(root, 100000, 200000))
	host := t.TempDir()
	c := exact(root, append(engineMounts(t), spec.Mount{Type: "bind", Source: host, Destination: "/data", Options: []string{"rbind", "idmap"}},
		spec.Mount{Type: "tmpfs", Destination: "/t", Options: []string{"silent", "ro"}}, spec.Mount{Type: "ramfs", Destination: "/r"}), func(s *spec.ContainerSpec) {
		s.TTY = true
		s.Network.Mode = spec.NetworkHost
		s.Security.MaskedPaths = &[]string{"/proc/keys", "/proc/acpi"}
	})
	for i := 0; ; i++ {
		p, files, plan, err := compose(c, mount.Facts{IDs: ids}, user, "true")
		must(t, err)
		if i == len(p.Ops) {
			must(t, files.Close())
			return
		}
		console, err := mount.NewConsole(plan)
		must(t, err)
		p.Ops[i].Nr, p.Ops[i].Accept = 1<<20, process.Errnos{}
		files["user"], files[mount.FileConsole] = user, console.Mount
		_, err = output(t, c, p, files)
		if err == nil && !skipped(p, i) {
			t.Errorf("op %d (%s %s) failed and the start succeeded", i, p.Ops[i].Step, p.Ops[i].Path)
		}
		delete(files, "user")
		must(t, console.Master.Close())
		must(t, console.Slave.Close())
		must(t, files.Close())
	}
}

// skipped tells whether op i is one that a successful start may jump over.
func skipped(p *process.Program, i int) bool {
	for j := range i {
		if j+p.Ops[j].Else >= i || j+p.Ops[j].Skip >= i {
			return true
		}
	}
	return false
}

func ExampleNewPlan() {
	c := spec.Defaulted(spec.Container{Spec: spec.ContainerSpec{Rootfs: spec.Rootfs{Path: "/srv/web", ReadOnly: true}}}, spec.DefaultsVersion)
	plan, err := mount.NewPlan(c, mount.Facts{Missing: []string{"/dev"}})
	if err != nil {
		panic(err)
	}
	if r := plan.Root; r.Overlay && r.ReadOnly {
		fmt.Printf("overlay on %s, read-only, with %d bytes for mount points\n", r.Path, r.Size)
	}
	for _, m := range plan.Mounts {
		fmt.Println(m.Type, m.Destination)
	}
	// Output:
	// overlay on /srv/web, read-only, with 65536 bytes for mount points
	// proc /proc
	// sysfs /sys
	// tmpfs /dev
	// devpts /dev/pts
	// tmpfs /dev/shm
	// mqueue /dev/mqueue
	// cgroup2 /sys/fs/cgroup
}
