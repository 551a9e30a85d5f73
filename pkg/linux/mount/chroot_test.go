package mount_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A container whose root was changed by chroot(2) has the node's mounts below its own. No proc or sysfs is among them, as one sees who still has the
// node's root: its mountinfo was opened before.
func TestChrootLeavesNoProcOfTheNode(t *testing.T) {
	for name, change := range map[string]func(*spec.ContainerSpec){
		"overlay":   func(*spec.ContainerSpec) {},
		"read-only": func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly, s.Security.MaskedPaths = true, new([]string) },
		"direct":    func(s *spec.ContainerSpec) { s.Rootfs.Writable.Medium = spec.MediumDirect },
		"masks":     func(s *spec.ContainerSpec) { s.Security.MaskedPaths = &[]string{"/etc", "/proc/version"} },
	} {
		root := newRootfs(t)
		c := container(root, func(s *spec.ContainerSpec) {
			s.Security.ReadonlyPaths = new([]string) // they are binds of the container's own
			change(s)
		})
		facts, err := mount.Look(c, mount.Facts{})
		must(t, err)
		plan, err := mount.NewPlan(c, facts)
		must(t, err)
		plan.Chroot, err = mount.NewChroot()
		must(t, err)
		for _, stage := range []string{"", root} {
			plan.Stage = stage
			files, err := plan.Open(nil)
			must(t, err)
			defer files.Close()
			p := &process.Program{}
			namespace.Append(p, namespace.NewPlan(c.Spec))
			table := p.CallFD("open", "mountinfo", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/proc/self/mountinfo"), process.Int(unix.O_RDONLY))
			mount.Append(p, plan)
			p.Call("connect", "mountinfo", unix.SYS_DUP3, table, process.Int(0), process.Int(0))
			for fd := range 2 {
				p.Call("connect", "stdout", unix.SYS_DUP3, p.File("out"), process.Int(fd+1), process.Int(0))
			}
			p.Call("execute", "cat", unix.SYS_EXECVE, process.Str("/bin/busybox"), process.Strs([]string{"busybox", "cat"}), process.Strs(nil))
			text, err := output(t, c, p, files)
			must(t, err)
			seen := map[string]int{}
			for line := range strings.Lines(text) {
				fields := strings.Fields(line)
				seen[fields[slices.Index(fields, "-")+1]]++
				seen[fields[4]]++
			}
			if seen["proc"] != 1 || seen["sysfs"] != 1 {
				t.Errorf("%s at %q: %d mounts of proc and %d of sysfs, one of each is the container's", name, stage, seen["proc"], seen["sysfs"])
			}
			if seen["/"] < 2 {
				t.Errorf("%s at %q: it is not the mountinfo of who has the node's root:\n%s", name, stage, text)
			}
		}
	}
}
