package mount_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// groups makes a cgroup of one name in hierarchies of the node and opens the files by which a process enters them.
func groups(t *testing.T, dirs []string) (name string, files map[string]*os.File) {
	t.Helper()
	name, files = fmt.Sprintf("/mount-test-%d", os.Getpid()), map[string]*os.File{}
	for i, dir := range dirs {
		group := dir + name
		must(t, os.Mkdir(group, 0o755))
		t.Cleanup(func() { must(t, unix.Rmdir(group)) })
		f, err := os.OpenFile(group+"/cgroup.procs", os.O_WRONLY, 0)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		files[fmt.Sprint("group", i)] = f
	}
	return name, files
}

// With base None and type cgroup a container sees its own cgroup of each older hierarchy that it is in, and on a node without
// those the one of version 2; in its own cgroup namespace and in the node's.
func TestCgroupMount(t *testing.T) {
	needRoot(t)
	tree, err := cgroup.Detect()
	must(t, err)
	var dirs []string
	for _, controller := range []string{"cpu", "pids"} {
		if dir := tree.V1[controller]; dir != "" {
			dirs = append(dirs, dir)
		}
	}
	name, files := groups(t, append(dirs, tree.Unified))
	stat := func(path string) os.FileInfo {
		info, err := os.Stat(path)
		must(t, err)
		return info
	}
	options := func() string {
		for line := range strings.Lines(mountinfo(t)) {
			if before, after, _ := strings.Cut(line, " - "); strings.Fields(before)[4] == tree.Unified {
				return after
			}
		}
		return ""
	}
	before := options()
	for _, host := range []bool{false, true} {
		root := newRootfs(t)
		c := exact(root, engineMounts(t), func(s *spec.ContainerSpec) {
			if host {
				s.Namespaces.Cgroup = spec.NamespaceHost
			}
		})
		facts, err := mount.Look(c, mount.Facts{Cgroup: name})
		must(t, err)
		plan, err := mount.NewPlan(c, facts)
		must(t, err)
		opened, err := plan.Open(nil)
		must(t, err)
		p := &process.Program{}
		for _, f := range slices.Sorted(maps.Keys(files)) {
			p.Call("enter", f, unix.SYS_WRITE, p.File(f), process.Data([]byte("0")), process.Int(1))
		}
		namespace.Append(p, namespace.Plan{Moves: true})
		if host {
			p.Ops = slices.DeleteFunc(p.Ops, func(op process.Op) bool { return op.Step == "make cgroup namespace" })
		}
		mount.Append(p, plan)
		p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(1), process.Int(0))
		p.Call("execute", "/bin/sh", unix.SYS_EXECVE, process.Str("/bin/sh"), process.Strs([]string{"sh", "-c", `cd /sys/fs/cgroup; for d in . *; do busybox stat -c '%n %i' $d; done; busybox touch x 2> /dev/null || echo read-only`}), process.Strs([]string{"PATH=/bin"}))
		all := maps.Clone(files)
		maps.Copy(all, opened)
		got, err := output(t, c, p, all)
		must(t, err)
		must(t, opened.Close())
		if !strings.HasSuffix(got, "read-only") {
			t.Errorf("the mount can be written to: %s", got)
		}
		inodes := map[string]string{}
		for line := range strings.Lines(got) {
			if n, i, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				inodes[n] = i
			}
		}
		if len(dirs) == 0 {
			continue
		}
		if len(inodes) != len(dirs)+1 {
			t.Errorf("host %v: %v, want the %d hierarchies %q", host, inodes, len(dirs), dirs)
		}
		for _, dir := range dirs {
			if want := fmt.Sprint(inode(stat(dir + name))); inodes[filepath.Base(dir)] != want {
				t.Errorf("host %v: %s is inode %s, want the container's own, %s", host, filepath.Base(dir), inodes[filepath.Base(dir)], want)
			}
		}
	}
	same(t, "the node's cgroup2 options", options(), before)
}

// In the node's cgroup namespace the standard mount is the node's own, with its options untouched.
func TestCgroupOfTheNode(t *testing.T) {
	tree, err := cgroup.Detect()
	must(t, err)
	c := container(newRootfs(t), func(s *spec.ContainerSpec) { s.Namespaces.Cgroup = spec.NamespaceHost })
	got := sh(t, c, `busybox stat -f -c %T /sys/fs/cgroup; busybox stat -c %i /sys/fs/cgroup; busybox awk '$5 == "/sys/fs/cgroup" {print $6}' /proc/self/mountinfo`)
	info, err := os.Stat(tree.Unified)
	must(t, err)
	same(t, "inside", strings.ToLower(got), fmt.Sprintf("unknown\n%d\nro,nosuid,nodev,noexec,relatime", inode(info)))
	c.Spec.Mounts = []spec.Mount{{Type: "cgroup", Destination: "/sys/fs/cgroup", Options: []string{"sync"}}}
	if _, err := run(t, c, "", "true"); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("options for the node's own: %v", err)
	}
}
