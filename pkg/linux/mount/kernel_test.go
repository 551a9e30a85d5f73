package mount_test

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// needRoot skips a test that mounts: the probe is the capability, not the user.
func needRoot(t testing.TB) {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Skipf("capability SYS_ADMIN: open_tree: %v", err)
	}
	unix.Close(fd)
}

// newRootfs makes a root directory with a shell and the given directories.
func newRootfs(t testing.TB, dirs ...string) string {
	t.Helper()
	needRoot(t)
	root := t.TempDir()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skipf("busybox: %v", err)
	}
	for _, d := range append(dirs, "bin") {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755))
	must(t, os.Symlink("busybox", filepath.Join(root, "bin/sh")))
	must(t, os.Chmod(root, 0o755))
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// container is a defaulted container on a rootfs.
func container(root string, change func(*spec.ContainerSpec)) spec.Container {
	c := spec.Container{Metadata: spec.Metadata{Name: "test"}, Spec: spec.ContainerSpec{Rootfs: spec.Rootfs{Path: root}}}
	if change != nil {
		change(&c.Spec)
	}
	return spec.Defaulted(c, spec.DefaultsVersion)
}

// prepare makes the program of a container that runs a shell script, and its files.
func prepare(c spec.Container, layer, script string) (*process.Program, mount.Files, error) {
	p, files, _, err := compose(c, mount.Facts{Layer: layer}, nil, script)
	return p, files, err
}

// compose is prepare with more facts, a user namespace to be entered once the tree is built, and the plan.
func compose(c spec.Container, facts mount.Facts, user *os.File, script string) (*process.Program, mount.Files, mount.Plan, error) {
	facts, err := mount.Look(c, facts)
	if err != nil {
		return nil, nil, mount.Plan{}, err
	}
	plan, err := mount.NewPlan(c, facts)
	if err != nil {
		return nil, nil, plan, err
	}
	files, err := plan.Open(user)
	if err != nil {
		return nil, nil, plan, err
	}
	p := &process.Program{}
	namespace.Append(p, namespace.NewPlan(c.Spec))
	mount.Append(p, plan)
	for fd := range 2 {
		p.Call("connect stdout", "", unix.SYS_DUP3, p.File("out"), process.Int(fd+1), process.Int(0))
	}
	p.Call("drop SYS_RESOURCE, which quotas do not bind", "", unix.SYS_PRCTL, process.Int(unix.PR_CAPBSET_DROP), process.Int(unix.CAP_SYS_RESOURCE))
	if user != nil {
		p.Call("join user namespace", "", unix.SYS_SETNS, p.File("user"), process.Int(unix.CLONE_NEWUSER))
		p.Call("lock mounts", "", unix.SYS_UNSHARE, process.Int(unix.CLONE_NEWNS))
		p.Call("set group", "", unix.SYS_SETRESGID, process.Int(0), process.Int(0), process.Int(0))
		p.Call("set user", "", unix.SYS_SETRESUID, process.Int(0), process.Int(0), process.Int(0))
		mount.AppendPropagation(p, plan)
	}
	p.Call("execute", "/bin/sh", unix.SYS_EXECVE, process.Str("/bin/sh"), process.Strs([]string{"sh", "-c", script}), process.Strs([]string{"PATH=/bin"}))
	return p, files, plan, nil
}

// run starts the script in the container and returns what it prints; an error is that of the start.
func run(t testing.TB, c spec.Container, layer, script string) (string, error) {
	t.Helper()
	return runWith(t, c, mount.Facts{Layer: layer}, script)
}

// runWith is run with more facts and with ops before the command. With ids it makes the user namespace, with a terminal the console.
func runWith(t testing.TB, c spec.Container, facts mount.Facts, script string, before ...func(*process.Program)) (string, error) {
	t.Helper()
	var user *os.File
	if !facts.IDs.IsZero() {
		f, err := namespace.NewUser(facts.IDs.UIDs, facts.IDs.GIDs)
		must(t, err)
		defer f.Close()
		user = f
	}
	p, files, plan, err := compose(c, facts, user, script)
	if err != nil {
		return "", err
	}
	defer files.Close()
	for _, add := range before {
		last := len(p.Ops) - 1
		execute := p.Ops[last]
		p.Ops = p.Ops[:last]
		add(p)
		p.Ops = append(p.Ops, execute)
	}
	all := map[string]*os.File{"user": user}
	maps.Copy(all, files)
	if plan.Terminal {
		console, err := mount.NewConsole(plan)
		must(t, err)
		defer console.Close()
		all[mount.FileConsole] = console.Mount
	}
	return output(t, c, p, all)
}

// output starts a program and returns what it prints.
func output(t testing.TB, c spec.Container, p *process.Program, files map[string]*os.File) (string, error) {
	t.Helper()
	sandbox, err := network.Make(c.Spec.Network.Mode)
	must(t, err)
	defer sandbox.Close()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	all := map[string]*os.File{"out": w, namespace.FileNet: sandbox.Net, namespace.FileIPC: sandbox.IPC, namespace.FileUTS: sandbox.UTS}
	maps.Copy(all, files)
	child, err := process.Start(p, all)
	w.Close()
	if err != nil {
		return "", err
	}
	defer child.Pidfd.Close()
	text, err := io.ReadAll(r)
	must(t, err)
	_, err = process.Reap(child.Pidfd)
	must(t, err)
	return string(bytes.TrimSpace(text)), nil
}

// sh is run for a start that must succeed.
func sh(t testing.TB, c spec.Container, script string) string {
	t.Helper()
	out, err := run(t, c, "", script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same fails unless the lines agree.
func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got = strings.TrimSpace(got); got != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

// newProgram is the program of a plan alone.
func newProgram(plan mount.Plan) *process.Program {
	p := &process.Program{}
	mount.Append(p, plan)
	return p
}
