package cgroup_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

func groupOf(t *testing.T, p *cgroup.Parent, name string, instance uint64) *cgroup.Group {
	t.Helper()
	g, err := p.Group(name, instance)
	must(t, err)
	return g
}

func created(t *testing.T, p *cgroup.Parent, name string, instance uint64) *cgroup.Group {
	t.Helper()
	g := groupOf(t, p, name, instance)
	must(t, g.Create())
	return g
}

// start runs a shell command inside a group of every hierarchy, from its first instruction on.
func start(t *testing.T, g *cgroup.Group, script string) *exec.Cmd {
	t.Helper()
	files, err := g.Files()
	must(t, err)
	defer func() {
		for _, f := range files {
			must(t, f.Close())
		}
	}()
	// The shell enters the v1 groups as a container's child does: by writing 0 to descriptors opened before.
	cmd := exec.Command("/bin/busybox", "sh", "-c")
	enter := ""
	for name, f := range files {
		if name != cgroup.FileDir {
			enter += "echo 0 >&" + strconv.Itoa(3+len(cmd.ExtraFiles)) + "\n"
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
	}
	cmd.Args = append(cmd.Args, enter+script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(files[cgroup.FileDir].Fd()), Pdeathsig: unix.SIGKILL}
	ready, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = g.Kill()
		_ = cmd.Wait()
	})
	if strings.Contains(script, "echo ready") {
		_, err = ready.Read(make([]byte, 64))
		must(t, err)
	}
	return cmd
}

// unused are the v1 controllers that no limit needs.
var unused = []string{"cpuacct", "freezer", "perf_event"}

func TestOpenMakesTheParentEverywhere(t *testing.T) {
	tree, name := kerneltest.Tree(t), kerneltest.Parent(t)
	p, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: name + "/below/it"})
	must(t, err)
	defer p.Close()
	want := []string{tree.Unified}
	for controller, point := range tree.V1 {
		if !slices.Contains(unused, controller) {
			want = append(want, point)
		}
	}
	for _, point := range want {
		if _, err := os.Stat(filepath.Join(point, name, "below/it")); err != nil {
			t.Error(err)
		}
	}
	must(t, p.Remove())
	for _, point := range want {
		if _, err := os.Stat(filepath.Join(point, name, "below/it")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Remove: %v", err)
		}
	}
}

func TestASecondAgentRefusesNamingTheFirst(t *testing.T) {
	config := cgroup.Config{Tree: kerneltest.Tree(t), Parent: kerneltest.Parent(t)}
	first, err := cgroup.Open(config)
	must(t, err)
	_, err = cgroup.Open(config)
	var locked *cgroup.LockedError
	if !errors.As(err, &locked) || locked.Pid != os.Getpid() || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("the second Open: %v; want this process, pid %d, named", err, os.Getpid())
	}
	must(t, first.Close())
	again, err := cgroup.Open(config)
	must(t, err)
	must(t, again.Close())
}

func TestOpenRefusesOtherPaths(t *testing.T) {
	kerneltest.Root(t)
	for _, name := range []string{"", ".", "..", "/reconciler", "a/../b", "a//b", "a/", "../escape", "a\nb"} {
		p, err := cgroup.Open(cgroup.Config{Tree: kerneltest.Tree(t), Parent: name})
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Open(%q): %v, %v", name, p, err)
		}
	}
}

func TestAFailedOpenLeavesNothing(t *testing.T) {
	tree, name := kerneltest.Tree(t), kerneltest.Parent(t)
	tree.V1 = map[string]string{"memory": t.TempDir() + "/missing"}
	if _, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: name}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Open with a missing mount point: %v", err)
	}
	if _, err := os.Stat(filepath.Join(tree.Unified, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

func TestLifeOfAGroup(t *testing.T) {
	p := kerneltest.Cgroups(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: p.Name(), Pids: []int{0}})
	first, second := groupOf(t, p, "web", 9), groupOf(t, p, "web", 10)

	for range 2 { // every verb may be repeated
		must(t, first.Create())
		must(t, second.Create())
	}
	must(t, os.MkdirAll(filepath.Join(first.Path(), "made/by/the/container"), 0o755))
	must(t, os.MkdirAll(filepath.Join(p.Path(), "not a name", "1"), 0o755))
	must(t, os.MkdirAll(filepath.Join(p.Path(), "web", "010"), 0o755))
	all, err := p.List()
	must(t, err)
	if len(all) != 2 || all[0].String() != "web/9" || all[1].String() != "web/10" {
		t.Errorf("List = %v", all)
	}
	if none, err := p.ListOne("db"); err != nil || none != nil {
		t.Errorf("ListOne of an unknown name: %v, %v", none, err)
	}
	must(t, os.Remove(filepath.Join(p.Path(), "web", "010")))
	must(t, os.Remove(filepath.Join(p.Path(), "not a name", "1")))
	must(t, os.Remove(filepath.Join(p.Path(), "not a name")))

	for range 2 {
		must(t, first.Remove(t.Context()))
	}
	if first.Exists() || !second.Exists() {
		t.Errorf("after removing the first: %v, %v", first.Exists(), second.Exists())
	}
	must(t, second.Remove(t.Context()))
	if _, err := os.Stat(filepath.Join(p.Path(), "web")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the name's cgroup outlives its last instance: %v", err)
	}
}

func TestUnknownGroups(t *testing.T) {
	p := kerneltest.Cgroups(t)
	for _, name := range []string{"", "..", "a/b", "UPPER", "-a", strings.Repeat("a", 64), "a\x00b", "keeper.leaf"} {
		if g, err := p.Group(name, 1); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Group(%q) = %v, %v", name, g, err)
		}
	}
	g := groupOf(t, p, "nobody", 1)
	verbs := map[string]func() error{
		"Set":         func() error { return g.Set(everything(t, p)) },
		"Get":         func() error { _, err := g.Get(everything(t, p)); return err },
		"Freeze":      func() error { return g.Freeze(t.Context()) },
		"Thaw":        func() error { return g.Thaw(t.Context()) },
		"Kill":        g.Kill,
		"State":       func() error { _, err := g.State(); return err },
		"Procs":       func() error { _, err := g.Procs(); return err },
		"Files":       func() error { _, err := g.Files(); return err },
		"Identity":    func() error { _, err := g.Identity(); return err },
		"SetIdentity": func() error { return g.SetIdentity(cgroup.Identity{}) },
	}
	for verb, f := range verbs {
		if err := f(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	must(t, g.Remove(t.Context()))
}

func TestFreezeThawKill(t *testing.T) {
	kerneltest.Require(t, feature.CgroupKill)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	must(t, g.Freeze(t.Context())) // an empty group freezes as well
	must(t, g.Thaw(t.Context()))
	cmd := start(t, g, "while :; do :; done & echo ready; while :; do :; done")

	pids, err := g.Procs()
	must(t, err)
	if len(pids) != 2 || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("Procs = %v, want two with %d", pids, cmd.Process.Pid)
	}
	for range 2 {
		must(t, g.Freeze(t.Context()))
		want(t, g, cgroup.State{Populated: true, Frozen: true})
	}
	if freezing, err := g.Freezing(); !freezing || err != nil {
		t.Errorf("Freezing = %v, %v", freezing, err)
	}
	for range 2 {
		must(t, g.Thaw(t.Context()))
		want(t, g, cgroup.State{Populated: true})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Remove(ended); !errors.Is(err, unix.EBUSY) || !errors.Is(err, context.Canceled) {
		t.Errorf("Remove of a running group: %v", err)
	}
	must(t, g.Freeze(t.Context()))
	for range 2 { // frozen or dead
		must(t, g.Kill())
	}
	must(t, g.Wait(t.Context(), func(s cgroup.State) bool { return !s.Populated }))
	must(t, g.Remove(t.Context()))
}

// A process that cannot be stopped (here one that waits in vfork) must not keep the caller, nor stay frozen halfway.
func TestFreezeThatNeverEndsIsUndone(t *testing.T) {
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	start(t, g, "echo ready; sleep 1000")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := g.Freeze(ended)
	freezing, readErr := g.Freezing()
	must(t, readErr)
	if err != nil && (!errors.Is(err, context.Canceled) || freezing) {
		t.Errorf("Freeze: %v; still freezing: %v", err, freezing)
	}
	if err == nil && !freezing {
		t.Error("Freeze succeeded but nothing is frozen")
	}
}

func TestWaitEndsWithItsGroup(t *testing.T) {
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	result := make(chan error)
	go func() { result <- g.Wait(t.Context(), func(s cgroup.State) bool { return s.Populated }) }()
	must(t, g.Remove(t.Context()))
	if err := <-result; !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Wait: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	kerneltest.Require(t, feature.CgroupXattrs)
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 3)
	if id, err := g.Identity(); err != nil || id != (cgroup.Identity{}) {
		t.Errorf("before: %+v, %v", id, err)
	}
	must(t, g.SetIdentity(cgroup.Identity{Hash: "abc", Defaults: 2, BootID: "boot"}))
	id, err := g.Identity()
	must(t, err)
	if id != (cgroup.Identity{Name: "web", Instance: 3, Hash: "abc", Defaults: 2, BootID: "boot"}) {
		t.Errorf("after: %+v", id)
	}
	for _, torn := range []string{"", "{", `{"name":"other","instance":3,"hash":"x"}`, strings.Repeat("x", 5000)} {
		must(t, unix.Setxattr(g.Path(), "user.reconciler.identity", []byte(torn), 0))
		if id, err := g.Identity(); err != nil || id != (cgroup.Identity{}) {
			t.Errorf("from %.20q: %+v, %v", torn, id, err)
		}
	}
}

// The program enters every v1 hierarchy by a single write each, before anything else.
func TestEnter(t *testing.T) {
	p := kerneltest.Cgroups(t)
	g := created(t, p, "web", 1)
	files, err := g.Files()
	must(t, err)
	defer func() {
		for _, f := range files {
			must(t, f.Close())
		}
	}()
	var program process.Program
	cgroup.Enter(&program, files)
	if program.Cgroup != cgroup.FileDir || len(program.Files) != len(files) || len(program.Ops) != len(files)-1 {
		t.Errorf("files %v, program %+v", files, program)
	}
	for _, op := range program.Ops {
		if op.Nr != unix.SYS_WRITE || string(op.Args[1].Data) != "0\x00" || op.Args[2].Int != 1 {
			t.Errorf("op %+v", op)
		}
	}
}

func want(t *testing.T, g *cgroup.Group, want cgroup.State) {
	t.Helper()
	if got, err := g.State(); err != nil || got != want {
		t.Errorf("State = %+v, %v; want %+v", got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A cgroup with processes of its own cannot hand controllers down: whoever owns it is named, and limits are refused for that reason.
func TestAParentBelowSomeoneElses(t *testing.T) {
	tree, name := kerneltest.Tree(t), kerneltest.Parent(t)
	if len(tree.V1) > 0 {
		t.Skip("skip: needs a cgroup2 with all controllers: this host has v1 hierarchies")
	}
	theirs := filepath.Join(tree.Unified, name)
	must(t, os.Mkdir(theirs, 0o755))
	sleep := exec.Command("/bin/busybox", "sleep", "1000")
	must(t, sleep.Start())
	t.Cleanup(func() { _, _ = sleep.Process.Kill(), sleep.Wait() })
	must(t, os.WriteFile(filepath.Join(theirs, "cgroup.procs"), []byte(strconv.Itoa(sleep.Process.Pid)), 0))

	p, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: name + "/reconciler"})
	must(t, err)
	defer p.Close()
	must(t, created(t, p, "web", 1).Set(spec.Resources{}))
	err = p.Unsupported(spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(mebi)}})
	var delegation *cgroup.DelegationError
	if !errors.As(err, &delegation) || delegation.Dir != theirs || delegation.Controller != "memory" || !errors.Is(err, unix.EBUSY) {
		t.Errorf("Unsupported: %v", err)
	}
	if kind, err := os.ReadFile(filepath.Join(theirs, "cgroup.type")); string(kind) != "domain\n" || err != nil {
		t.Errorf("their cgroup has become %q, %v", kind, err)
	}
}

// Names are handled in parallel, and no round leaves anything.
func TestManyGroupsAtOnce(t *testing.T) {
	rounds := 3
	if os.Getenv("RECONCILER_SOAK") == "1" {
		rounds = 1000
	}
	p := kerneltest.Cgroups(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: p.Name(), Pids: []int{0}})
	all := everything(t, p)
	var workers sync.WaitGroup
	for worker := range 10 {
		workers.Go(func() {
			g, err := p.Group("web-"+strconv.Itoa(worker), uint64(worker))
			for range rounds {
				err = errors.Join(err, g.Create(), g.Set(all), g.Freeze(t.Context()), g.Kill(), g.Remove(t.Context()))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	if left, err := p.List(); err != nil || left != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Killed at any step of Create or Remove, an agent finds a state that both verbs stand.
func TestHalfMadeGroups(t *testing.T) {
	p := kerneltest.Cgroups(t)
	kerneltest.NoLeaks(t, kerneltest.Scope{Parent: p.Name()})
	tree := kerneltest.Tree(t)
	points := []string{tree.Unified}
	for controller, point := range tree.V1 {
		if !slices.Contains(unused, controller) {
			points = append(points, point)
		}
	}
	var steps []string
	for _, point := range points {
		steps = append(steps, filepath.Join(point, p.Name(), "web"), filepath.Join(point, p.Name(), "web/1"))
	}
	g := groupOf(t, p, "web", 1)
	for made := range len(steps) + 1 {
		for _, then := range []func() error{func() error { return nil }, func() error { return errors.Join(g.Create(), g.Set(everything(t, p))) }} {
			for _, dir := range steps[:made] {
				if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
					t.Fatal(err)
				}
			}
			must(t, then())
			must(t, g.Remove(t.Context()))
			for _, dir := range steps {
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("after %d steps Remove leaves %s", made, dir)
				}
			}
		}
	}
}
