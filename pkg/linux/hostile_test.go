package linux_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// manner is one way of starting from a hostile rootfs.
type manner struct {
	name   string
	change func(s *spec.ContainerSpec, volume string)
}

// manners are what a start does differently with the same rootfs.
var manners = []manner{
	{"read-only", func(s *spec.ContainerSpec, _ string) { s.Rootfs.ReadOnly = true }},
	{"writable, a terminal", func(s *spec.ContainerSpec, _ string) { s.TTY = true }},
	{"base None, direct", func(s *spec.ContainerSpec, _ string) { bare(s); s.Command[0] = "/bin/busybox" }},
	{"users of its own", func(s *spec.ContainerSpec, _ string) { s.Namespaces.User.Mode = spec.UserAuto }},
	{"direct, the image's own /dev, a terminal", func(s *spec.ContainerSpec, _ string) {
		bare(s)
		s.Command[0], s.TTY = "/bin/busybox", true
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m spec.Mount) bool { return strings.HasPrefix(m.Destination, "/dev") })
		s.Security.MaskedPaths = &[]string{"/proc/keys", "/etc/passwd", "/data"}
	}},
	{"binds below what is swapped", func(s *spec.ContainerSpec, volume string) {
		s.User, s.WorkingDir = "web", "/srv"
		s.Mounts = []spec.Mount{
			{Type: spec.MountBind, Source: volume, Destination: "/data/vol", Options: []string{"rbind"}},
			{Type: spec.MountTmpfs, Destination: "/tmp/deep/er", Options: []string{"tmpcopyup"}},
			{Type: spec.MountBind, Source: "/dev/zero", Destination: "/etc/zero"},
			{Type: spec.MountTmpfs, Destination: "/data/vol/x/sub"},
		}
		s.Security.ReadonlyPaths = &[]string{"/etc", "/proc/sys", "/proc/sysrq-trigger", "/data/vol/x"} // who replaces the list answers for the node
	}},
}

// havoc writes to, opens, changes and removes all that a start has to do with, by the names it has inside. What blocks is left behind.
const havoc = `for f in /etc/passwd /etc/group /etc/hosts /etc/hostname /etc/resolv.conf /dev/null /dev/console /dev/ptmx /dev/tty /dev/pts/0 /dev/pts/ptmx /dev/shm/x /dev/mqueue/x /tmp/x /srv/x /data/x /data/vol/x/file /run/x /var/x /x /bin/busybox /sys/fs/cgroup/cgroup.procs /proc/sysrq-trigger /proc/sys/kernel/core_pattern; do
	(echo havoc > $f) 2>/dev/null & (chmod 4777 $f; chown 4242:4242 $f; mkdir $f.d; mv $f $f.old; rm -rf $f.old $f) >/dev/null 2>&1 &
done; sleep 0.05; echo havoc`

// A rootfs may be anything, and change while it is used: a container of it starts confined, or is refused with an error that names a path. Either
// way nothing of the node changes, nothing is left, and inside there is no descriptor but the three.
func TestHostileRootfs(t *testing.T) {
	n := open(t)
	hasUsers := feature.UserNamespaces.Probe() == nil
	n.say(t, n.container("warm", ""))
	started, refused := 0, 0
	for i, img := range images {
		t.Run(img.name, func(t *testing.T) {
			kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.path("run"), n.path("state"), n.path("log")}, Pids: []int{0, n.keeper(t)}})
			canary := kerneltest.Canary(t)
			machine := kerneltest.HostFiles(t)
			for j, m := range manners {
				if strings.HasPrefix(m.name, "users") && !hasUsers || os.Getenv("RECONCILER_SOAK") == "" && (i+j)%3 != 0 {
					continue
				}
				if err := n.startHostile(t, img, m, canary); err == nil {
					started++
				} else {
					refused++
					t.Logf("%s: %v", m.name, err)
				}
			}
			if diff := kerneltest.Diff(machine, kerneltest.HostFiles(t)); diff != nil {
				t.Errorf("this machine changed: %q", diff)
			}
		})
	}
	t.Logf("%d images: %d started, %d refused", len(images), started, refused)
	if len(images) < 60 || started == 0 || refused == 0 {
		t.Error("that is not what this test is about")
	}
}

// startHostile starts from a fresh rootfs made hostile, while names in it are swapped, looks into the container, and has it wreak havoc.
func (n *node) startHostile(t *testing.T, img image, m manner, canary string) error {
	t.Helper()
	root, err := os.MkdirTemp("", "image")
	must(t, err)
	defer os.RemoveAll(root)
	n.smallRootfs(t, root)
	volume := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(volume, "x", "sub"), 0o755))
	must(t, os.Symlink(canary, filepath.Join(volume, "x-swapped")))
	pairs := swaps(t, volume, "x", "x-swapped")
	c := n.writable("web", "", spec.Writable{})
	c.Spec.Command, c.Spec.Rootfs.Path = []string{"/bin/busybox", "sleep", "1000"}, root
	if other := img.spoil(t, root, canary); other != "" {
		c.Spec.Rootfs.Path = other
	}
	for _, name := range img.swapped {
		aim := canary
		if info, err := os.Lstat(filepath.Join(root, name)); err == nil && !info.IsDir() {
			aim = filepath.Join(canary, "file")
		}
		if os.Symlink(aim, filepath.Join(root, name+"-swapped")) == nil {
			pairs = append(pairs, swaps(t, filepath.Join(root, filepath.Dir(name)), filepath.Base(name), filepath.Base(name)+"-swapped")...)
		}
	}
	m.change(&c.Spec, volume)
	stop := swapping(pairs...)
	defer stop()
	defer func() { must(t, n.Destroy(context.Background(), "web", 1, false)) }()
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); err != nil {
		return named(t, m, err)
	}
	if err := n.Start(t.Context(), "web", 1); err != nil {
		return named(t, m, err)
	}
	n.confined(t, m, canary)
	n.wreak(t, m)
	return nil
}

// smallRootfs is the node's rootfs with no more of busybox than havoc needs: it is made anew for each start.
func (n *node) smallRootfs(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "root", "srv", "sys", "tmp", "usr", "var"} {
		must(t, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	for _, file := range []string{"etc/passwd", "etc/group", "etc/hostname", "bin/busybox"} {
		data, err := os.ReadFile(n.path("rootfs", file))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(root, file), data, 0o755))
	}
	for _, applet := range []string{"sh", "sleep", "chmod", "chown", "mkdir", "mv", "rm"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", applet)))
	}
	must(t, os.Chmod(root, 0o755))
}

// aPath is what an error of a start must name.
var aPath = regexp.MustCompile(`(^|[ "])/[^/ ]`)

// named demands that an error says where what is wrong is.
func named(t *testing.T, m manner, err error) error {
	t.Helper()
	if !aPath.MatchString(err.Error()) && !errors.Is(err, unix.ESRCH) { // it has ended meanwhile, as its havoc may have it
		t.Errorf("%s: the error names no path: %v", m.name, err)
	}
	return err
}

// confined looks from the node at what the container's process has. One that has ended already has nothing.
func (n *node) confined(t *testing.T, m manner, canary string) {
	t.Helper()
	pid := n.look(t, "web", 1).Pid
	proc := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil || len(fds) == 0 {
		return
	}
	if exe, _ := os.Readlink(filepath.Join(proc, "exe")); strings.HasPrefix(exe, "/memfd:") {
		fds = nil // an image whose command is /proc/self/exe runs the keeper's sealed binary, which opens files of its own inside
	}
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err == nil && !slices.Contains([]string{"0", "1", "2"}, fd.Name()) {
			t.Errorf("%s: descriptor %s is open: %s", m.name, fd.Name(), target)
		}
		if strings.HasPrefix(target, canary) {
			t.Errorf("%s: descriptor %s is %s", m.name, fd.Name(), target)
		}
	}
	var st unix.Stat_t
	must(t, unix.Stat(canary, &st))
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	mounts, _ := os.ReadFile(filepath.Join(proc, "mountinfo"))
	for line := range strings.Lines(string(mounts)) {
		// What is mounted and from where, not the place inside, to which a link inside may lead: what is made there is in the image.
		if f := strings.Fields(line); f[2] == device && strings.HasPrefix(f[3], canary) || strings.Contains(strings.Join(f[5:], " "), canary) {
			t.Errorf("%s: it sees a mount of the node: %s", m.name, line)
		}
	}
	for _, link := range []string{"root", "cwd", "exe"} {
		if target, err := os.Readlink(filepath.Join(proc, link)); err == nil && strings.HasPrefix(target, canary) {
			t.Errorf("%s: its %s is %s", m.name, link, target)
		}
	}
}

// wreak runs havoc as a further process, which may not be had; then the error names a path.
func (n *node) wreak(t *testing.T, m manner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := n.Exec(ctx, "web", 1, spec.Exec{Command: []string{"/bin/busybox", "sh", "-c", havoc}, User: "0", WorkingDir: "/", TTY: strings.Contains(m.name, "terminal")})
	if errors.Is(err, spec.ErrNotRunning) {
		return
	}
	if err != nil {
		t.Logf("%s: no havoc: %v", m.name, named(t, m, err))
		return
	}
	defer func() { must(t, s.Close()) }()
	said := make(chan bool, 1)
	go func() {
		out, _ := io.ReadAll(io.LimitReader(s.Stdout(), 1<<20))
		said <- strings.Contains(string(out), "havoc")
	}()
	if _, err := s.Wait(ctx); err != nil {
		t.Errorf("%s: havoc never ended: %v", m.name, err)
	}
	select {
	case <-said:
	case <-time.After(time.Second): // what it has left behind holds the output open until Close
	}
}
