package mount_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The console is terminal 0 of the container's own devpts, and the node's end of it talks to whoever opens /dev/console.
func TestConsole(t *testing.T) {
	root := newRootfs(t)
	for name, c := range map[string]spec.Container{
		"standard":       container(root, func(s *spec.ContainerSpec) { s.TTY = true }),
		"exact":          exact(root, engineMounts(t), func(s *spec.ContainerSpec) { s.TTY = true }),
		"without devpts": exact(root, engineMounts(t)[:2], func(s *spec.ContainerSpec) { s.TTY = true }),
	} {
		facts, err := mount.Look(c, mount.Facts{})
		must(t, err)
		plan, err := mount.NewPlan(c, facts)
		must(t, err)
		console, err := mount.NewConsole(plan)
		must(t, err)
		p, files, _, err := compose(c, mount.Facts{}, nil, `cd /dev; [ -c console ] && busybox stat -c '%n %t:%T' console; echo to the master > console; [ -e pts/ptmx ] && busybox stat -c '%n %u:%g %a' pts/0 && busybox stat -f -c %T pts`)
		must(t, err)
		all := map[string]*os.File{mount.FileConsole: console.Mount}
		maps.Copy(all, files)
		got, err := output(t, c, p, all)
		must(t, err)
		must(t, files.Close())
		want := "console 88:0\npts/0 0:5 620\ndevpts"
		if name == "without devpts" {
			want = "console 88:0"
		}
		same(t, name, got, want)
		line := make([]byte, 64)
		n, err := unix.Read(int(console.Master.Fd()), line)
		must(t, err)
		same(t, "the master", string(line[:n]), "to the master")
		for _, f := range []*os.File{console.Master, console.Slave, console.Mount} {
			if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s stays open over execve (%v)", f.Name(), err)
			}
		}
		must(t, console.Close())
	}
}

// CVE-2025-52565: what an image has at /dev/pts and /dev/console is never opened.
func TestConsoleOfTheImage(t *testing.T) {
	dir, check := canary(t)
	root := newRootfs(t, "dev/pts")
	for _, link := range []string{"dev/pts/0", "dev/pts/ptmx", "dev/console", "dev/ptmx"} {
		must(t, os.Symlink(filepath.Join(dir, "file"), filepath.Join(root, link)))
	}
	for _, c := range []spec.Container{
		container(root, func(s *spec.ContainerSpec) { s.TTY = true }),
		exact(root, engineMounts(t), func(s *spec.ContainerSpec) { s.TTY = true }),
	} {
		got, err := runWith(t, c, mount.Facts{}, `busybox stat -c '%n %F' /dev/pts/* /dev/console`)
		must(t, err)
		same(t, "inside", got, "/dev/pts/0 character special file\n/dev/pts/ptmx character special file\n/dev/console character special file")
	}
	check()
}

// A label is a setting of every file system that can have labels.
func TestLabel(t *testing.T) {
	const label = "system_u:object_r:container_file_t:s0:c1,c2"
	c := exact("/srv/web", engineMounts(t), func(s *spec.ContainerSpec) {
		s.Security.SELinux.MountLabel = label
		s.Rootfs.Writable.Medium = spec.MediumMemory
		s.Security.MaskedPaths = &[]string{"/proc/keys"}
	})
	plan, err := mount.NewPlan(c, mount.Facts{})
	must(t, err)
	p := newProgram(plan)
	var labelled []string
	for _, op := range p.Ops {
		if strings.HasSuffix(op.Path, " with context="+label) {
			labelled = append(labelled, op.Step+" "+strings.TrimSuffix(op.Path, " with context="+label))
		}
	}
	same(t, "labelled", strings.Join(labelled, "\n"), "make empty mask \nmake device \nmount root /srv/web\nmount tmpfs /dev\nmount devpts /dev/pts\nmount tmpfs /dev/shm")
}

func ExampleNewConsole() {
	c := spec.Defaulted(spec.Container{Spec: spec.ContainerSpec{Rootfs: spec.Rootfs{Path: "/srv/web"}, TTY: true}}, spec.DefaultsVersion)
	start := func() error {
		facts, err := mount.Look(c, mount.Facts{})
		if err != nil {
			return err
		}
		plan, err := mount.NewPlan(c, facts)
		if err != nil {
			return err
		}
		files, err := plan.Open(nil)
		if err != nil {
			return err
		}
		defer files.Close()
		console, err := mount.NewConsole(plan)
		if err != nil {
			return err
		}
		defer console.Close()
		// Beside files, the start has console.Mount as mount.FileConsole. mount.Append(program, plan) mounts it; console.Slave is for the
		// command's standard input, output and error, console.Master for whoever talks to it.
		return nil
	}
	_ = start()
}
