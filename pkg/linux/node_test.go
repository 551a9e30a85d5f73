package linux_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestMain lets the test binary be its own keeper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "keeper" {
		os.Exit(keeper.Main(os.Args[2:]))
	}
	kerneltest.Main(m)
}

// open opens a node in folders of its own.
func open(t testing.TB) *linux.Node {
	t.Helper()
	kerneltest.Root(t)
	dir, err := os.MkdirTemp("", "rnode") // short: a socket address holds 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	cfg := linux.Config{
		RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"),
		CgroupParent: kerneltest.Parent(t),
	}
	if t, ok := t.(*testing.T); ok {
		cfg.Log = testr.New(t)
	}
	n, err := linux.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		all, err := n.Observe(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, in := range all {
			if err := n.Destroy(ctx, in.Name, in.ID, false); err != nil {
				t.Error(err)
			}
		}
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return n
}

// container is one that runs a shell script on a read-only busybox root.
func container(t testing.TB, name, script string) spec.Container {
	return spec.Container{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name},
		Spec: spec.ContainerSpec{
			Rootfs:  spec.Rootfs{Path: kerneltest.Rootfs(t), ReadOnly: true},
			Command: []string{"/bin/sh", "-c", script},
		},
	}
}

// run creates and starts instance 1.
func run(t testing.TB, n *linux.Node, c spec.Container) {
	t.Helper()
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context(), c.Metadata.Name, 1); err != nil {
		t.Fatal(err)
	}
}

// await observes until the only instance satisfies the condition.
func await(t testing.TB, n *linux.Node, name string, until func(spec.Instance) bool) spec.Instance {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		all, err := n.ObserveOne(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && until(all[0]) {
			return all[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("never came: %+v", all)
		}
		time.Sleep(time.Millisecond)
	}
}

func exited(in spec.Instance) bool { return in.Phase == spec.InstanceExited }

func output(t testing.TB, n *linux.Node, name string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.LogDir(name), "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// TestInside looks at a container with default values from inside.
func TestInside(t *testing.T) {
	n := open(t)
	run(t, n, container(t, "inside", `hostname; id -u; echo $$; ls /dev | tr '\n' ' '; echo; grep -E '^(Cap|NoNewPrivs|Seccomp):?' /proc/self/status; cat /proc/self/cgroup; ls /sys/class/net; touch /x; exit 7`))
	in := await(t, n, "inside", exited)
	if in.Exit.Code != 7 || in.Exit.Reason != spec.ExitError {
		t.Errorf("got exit %+v, want code 7", in.Exit)
	}
	out := output(t, n, "inside")
	t.Log(out)
	for _, want := range []string{"inside\n0\n1\n", "lo\n", "Read-only file system", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q", want)
		}
	}
}

// TestCreateTwice repeats verbs, and creates another spec in a taken place.
func TestCreateTwice(t *testing.T) {
	n := open(t)
	c := container(t, "twice", "sleep 1000")
	run(t, n, c)
	first := await(t, n, "twice", func(in spec.Instance) bool { return in.Phase == spec.InstanceRunning })
	run(t, n, c)
	if again := await(t, n, "twice", func(spec.Instance) bool { return true }); again.Pid != first.Pid || again.Starts != 1 {
		t.Errorf("repeating Create and Start gave %+v, was %+v", again, first)
	}
	c.Spec.Command = []string{"/bin/true"}
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating another spec in its place: got %v, want fs.ErrExist", err)
	}
}

// TestFailedStart leaves the instance as it was, and says which step failed on what.
func TestFailedStart(t *testing.T) {
	n := open(t)
	c := container(t, "absent", "")
	c.Spec.Command = []string{"/bin/absent"}
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); err != nil {
		t.Fatal(err)
	}
	err := n.Start(t.Context(), "absent", 1)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/bin/absent") {
		t.Errorf("got %v, want an error that names /bin/absent", err)
	}
	await(t, n, "absent", func(in spec.Instance) bool { return in.Phase == spec.InstanceCreated })
}

// TestInit has a reaper as process 1: orphans do not stay zombies, and TERM reaches the command.
func TestInit(t *testing.T) {
	n := open(t)
	c := container(t, "reaper", `(sleep 0.01 & ); trap 'echo zombies: $(grep -l "State:.Z" /proc/[0-9]*/status | wc -l); exit 9' TERM; echo "first: $(cat /proc/1/comm), me: $$"; while :; do sleep 0.05; done`)
	c.Spec.Init = true
	run(t, n, c)
	await(t, n, "reaper", func(spec.Instance) bool { return strings.Contains(output(t, n, "reaper"), "me:") })
	if err := n.Stop(t.Context(), "reaper", 1, "SIGTERM", time.Minute); err != nil {
		t.Fatal(err)
	}
	in := await(t, n, "reaper", exited)
	out := output(t, n, "reaper")
	if in.Exit.Code != 9 || in.Exit.Reason != spec.ExitStopped || !strings.Contains(out, "first: init, me: 2") || !strings.Contains(out, "zombies: 0") {
		t.Errorf("got exit %+v and output %q", in.Exit, out)
	}
}
