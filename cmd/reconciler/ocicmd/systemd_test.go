package ocicmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// unit asks systemd for a property.
func (w *world) unit(name, property string) string {
	w.Helper()
	out, err := exec.Command("systemctl", "show", "--value", "--property="+property, name).Output()
	if err != nil {
		w.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// With --systemd-cgroup a container's life is that of a scope: systemd and kernel agree on where it is and on its limits, which hold when systemd
// reads its units anew; the devices too.
func TestSystemdScope(t *testing.T) {
	kerneltest.Require(t, feature.Systemd)
	w := newWorld(t)
	files := kerneltest.Tree(t).Unified
	named, unnamed := fmt.Sprintf("named%d", os.Getpid()), fmt.Sprintf("unnamed%d", os.Getpid())
	for id, test := range map[string]struct{ path, group string }{
		named:   {"machine-ocitest.slice:engine:" + named, "machine.slice/machine-ocitest.slice/engine-" + named + ".scope"},
		unnamed: {"", "system.slice/reconciler-" + unnamed + ".scope"},
	} {
		scope := filepath.Base(test.group)
		bundle := w.bundle(id, "sleep 1000; true", func(s *specs.Spec) {
			s.Root.Readonly = false
			s.Linux.CgroupsPath = test.path
			memory, tasks := int64(64<<20), int64(77)
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &tasks}
			s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_MKNOD")
			s.Process.Capabilities.Permitted, s.Process.Capabilities.Effective = s.Process.Capabilities.Bounding, s.Process.Capabilities.Bounding
			s.Annotations = map[string]string{"org.systemd.property.TimeoutStopUSec": "uint64 7000000"}
		})
		w.run("--systemd-cgroup", "create", "--bundle", bundle, id)
		w.run("--systemd-cgroup", "start", id)
		inside := func() string {
			return w.run("exec", id, "sh", "-c", "cat /proc/self/cgroup; mknod /disk c 10 237 2>/dev/null; (: < /disk) 2>/dev/null && echo open || echo shut; : < /dev/null")
		}
		agree := func(memory string) {
			t.Helper()
			if got := w.unit(scope, "ControlGroup"); got != "/"+test.group {
				t.Errorf("systemd has it in %q, want /%s", got, test.group)
			}
			if text := w.read(fmt.Sprintf("/proc/%d/cgroup", w.state(id).Pid)); text != "0::/"+test.group {
				t.Errorf("the kernel has it in %q", text)
			}
			if theirs, ours := w.unit(scope, "MemoryMax"), w.read(filepath.Join(files, test.group, "memory.max")); theirs != memory || ours != memory {
				t.Errorf("memory.max is %s, MemoryMax %s, want %s", ours, theirs, memory)
			}
			if theirs, ours := w.unit(scope, "TasksMax"), w.read(filepath.Join(files, test.group, "pids.max")); theirs != "77" || ours != "77" {
				t.Errorf("pids.max is %s, TasksMax %s", ours, theirs)
			}
			if got := inside(); got != "0::/\nshut\n" {
				t.Errorf("inside: %q", got)
			}
		}
		agree("67108864")
		if got := w.unit(scope, "TimeoutStopUSec"); got != "7s" {
			t.Errorf("the annotation makes %q", got)
		}
		w.run("update", "--memory", "128m", id)
		agree("134217728")
		if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		agree("134217728")
		w.run("pause", id)
		w.is(id, oci.StatePaused)
		w.run("resume", id)
		w.run("kill", id, "KILL")
		w.is(id, specs.StateStopped)
		w.run("delete", id)
		w.soon("without "+scope, func() bool { return w.unit(scope, "ActiveState") == "inactive" })
		if _, err := os.Stat(filepath.Join(files, test.group)); !os.IsNotExist(err) {
			t.Errorf("after delete: %v", err)
		}
	}
	w.refused(1, "hint: say --systemd-cgroup", "create", "--bundle", w.bundle("c", "true", func(s *specs.Spec) { s.Linux.CgroupsPath = "a.slice:b:c" }), "c")
}

// A scope that systemd stops ends its container, and what is left of it is deleted as usual; another container of the name is another scope.
func TestScopeIsStopped(t *testing.T) {
	kerneltest.Require(t, feature.Systemd)
	w := newWorld(t)
	id := fmt.Sprintf("stopped%d", os.Getpid())
	bundle := w.bundle(id, "trap 'exit 0' TERM; echo up > /up; while :; do sleep 0.1; done", func(s *specs.Spec) {
		s.Root.Readonly = false
		s.Linux.CgroupsPath = "system.slice:engine:" + id
	})
	for range 2 {
		w.run("--systemd-cgroup", "run", "--detach", "--bundle", bundle, id)
		w.soon("up", func() bool { return w.read(filepath.Join(bundle, "rootfs/up")) == "up" })
		if err := os.Remove(filepath.Join(bundle, "rootfs/up")); err != nil {
			t.Error(err)
		}
		if out, err := exec.Command("systemctl", "stop", "engine-"+id+".scope").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		w.is(id, specs.StateStopped)
		w.run("delete", id)
	}
}

// A container that is restored is in a scope of its new name, with the limits of its new configuration, and systemd knows.
func TestRestoredScope(t *testing.T) {
	kerneltest.Require(t, feature.Systemd)
	w := newImageWorld(t)
	c := w.counts()
	scoped := func(id string, memory int64) string {
		return w.bundle(id, counter, writable, func(s *specs.Spec) {
			s.Linux.CgroupsPath = "system.slice:engine:" + id
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &memory}
		})
	}
	first, second := fmt.Sprintf("first%d", os.Getpid()), fmt.Sprintf("second%d", os.Getpid())
	w.into(c, "--systemd-cgroup", "run", "--detach", "--bundle", scoped(first, 64<<20), first)
	w.further(c)
	w.run("--systemd-cgroup", "checkpoint", "--image-path", w.image(), first)
	w.soon("without a scope", func() bool { return w.unit("engine-"+first+".scope", "ActiveState") == "inactive" })
	if err := os.Rename(filepath.Join(w.dir, "bundle-"+first), filepath.Join(w.dir, "bundle-"+second)); err != nil {
		t.Fatal(err)
	}
	w.into(c, "--systemd-cgroup", "restore", "--detach", "--image-path", w.image(), "--bundle", scoped(second, 128<<20), second)
	w.further(c)
	scope := "engine-" + second + ".scope"
	if got := w.unit(scope, "ActiveState") + " " + w.unit(scope, "MemoryMax"); got != "active 134217728" {
		t.Errorf("systemd says %s", got)
	}
	if text := w.read(fmt.Sprintf("/proc/%d/cgroup", w.state(second).Pid)); text != "0::/system.slice/"+scope {
		t.Errorf("the kernel has it in %q", text)
	}
	if got := w.run("exec", second, "cat", "/proc/self/cgroup"); got != "0::/\n" {
		t.Errorf("inside: %q", got)
	}
	w.run("delete", "--force", second)
	w.soon("without "+scope, func() bool { return w.unit(scope, "ActiveState") == "inactive" })
}
