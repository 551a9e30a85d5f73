package linux_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// smallDisk gives a node a file system of its own in one of its directories. What it returns takes all of its space, or all of its inodes, and gives
// them back.
func (n *node) smallDisk(t *testing.T, dir string) (fill func(t *testing.T, what string) (free func())) {
	t.Helper()
	must(t, n.Shutdown(t.Context()))
	must(t, n.Close())
	n.Node = nil
	path := n.path(dir)
	must(t, os.RemoveAll(path))
	must(t, os.MkdirAll(path, 0o755))
	must(t, unix.Mount("small", path, "tmpfs", 0, "size=256k,nr_inodes=200,mode=755"))
	n.reopen(t)
	t.Cleanup(func() { // the node goes on without it
		ctx := context.Background()
		must(t, n.Destroy(ctx, "web", 1, false))
		must(t, n.Shutdown(ctx))
		must(t, n.Close())
		must(t, unix.Unmount(path, unix.MNT_DETACH))
		n.Node, _ = linux.Open(ctx, n.config)
	})
	return func(t *testing.T, what string) func() {
		t.Helper()
		ballast := filepath.Join(path, "ballast")
		must(t, os.Mkdir(ballast, 0o700))
		for i := range 300 {
			f, err := os.Create(filepath.Join(ballast, strings.Repeat("x", i+1)))
			if what == "inodes" && err == nil {
				f.Close()
				continue
			}
			if err == nil {
				for err == nil {
					_, err = f.Write(make([]byte, 1<<12))
				}
				f.Close()
			}
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
		return func() { must(t, os.RemoveAll(ballast)) }
	}
}

// full wants an error that says so.
func full(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), `"web"`) && !strings.Contains(err.Error(), "web/") {
		t.Errorf("%s: %v", what, err)
	}
}

// With no room in the run directory nothing new can be made, which is said, and leaves nothing. What runs goes on, can be entered, stopped and destroyed, and its
// exit is known as soon as there is room again.
func TestFullRunDir(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	fill := n.smallDisk(t, "run")
	n.say(t, n.container("warm", ""))
	for _, what := range []string{"space", "inodes"} {
		t.Run(what, func(t *testing.T) {
			kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, n.keeper(t)}})
			hooked := n.container("web", forever)
			hooked.Spec.Hooks.Poststop = []spec.Hook{script("true")}
			free := fill(t, what)
			full(t, "create", n.Create(t.Context(), hooked, 1, spec.DefaultsVersion))
			if in := n.look(t, "web", 1); in.ID != 0 {
				t.Errorf("a failed create has left %+v", in)
			}
			free()

			must(t, n.Create(t.Context(), hooked, 1, spec.DefaultsVersion))
			free = fill(t, what)
			full(t, "start", n.Start(t.Context(), "web", 1))
			if in := n.look(t, "web", 1); in.Phase != spec.InstanceCreated {
				t.Errorf("a failed start has left %+v", in)
			}
			free()
			must(t, n.Start(t.Context(), "web", 1))
			n.hear(t, "web", "up")

			free = fill(t, what)
			must(t, n.Start(t.Context(), "web", 1)) // it runs
			s, err := n.Exec(t.Context(), "web", 1, command("echo inside"))
			must(t, err)
			if text, err := io.ReadAll(s.Stdout()); err != nil || string(text) != "inside\n" {
				t.Errorf("exec: %q, %v", text, err)
			}
			must(t, s.Close())
			changed := hooked
			changed.Spec.Stop.Timeout = spec.Duration(3e9)
			full(t, "update", n.Update(t.Context(), changed, 1))
			must(t, n.Pause(t.Context(), "web", 1))
			must(t, n.Resume(t.Context(), "web", 1))
			must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", patience))
			free()
			if in := n.await(t, "web", 1, exited); in.Exit.Code != 0 || in.Exit.Signal != "" {
				t.Errorf("exit: %+v", in.Exit)
			}

			must(t, n.Start(t.Context(), "web", 1))
			free = fill(t, what)
			must(t, n.Destroy(t.Context(), "web", 1, false))
			free()
			n.say(t, n.container("web", ""))
		})
	}
}

// With no room in the state directory a range of ids is not given out, and with none for logs a container runs all the same.
func TestFullStateDir(t *testing.T) {
	n := open(t)
	fill := n.smallDisk(t, "state")
	c := n.container("web", "echo said; exit 3")
	c.Spec.Namespaces.User.Mode = spec.UserAuto
	for _, what := range []string{"space", "inodes"} {
		free := fill(t, what)
		full(t, "create", n.Create(t.Context(), c, 1, spec.DefaultsVersion))
		if in := n.look(t, "web", 1); in.ID != 0 {
			t.Errorf("a failed create has left %+v", in)
		}
		free()
		n.run(t, c, 1)
		free = fill(t, what)
		if in := n.await(t, "web", 1, exited); in.Exit.Code != 3 {
			t.Errorf("exit: %+v", in.Exit)
		}
		must(t, n.Destroy(t.Context(), "web", 1, false))
		free()
	}
}
