package linux_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// oddities are what can be in a file's place.
var oddities = map[string]func(path string) error{
	"nothing":       func(string) error { return nil },
	"garbage":       func(path string) error { return os.WriteFile(path, []byte("\x00\xff{"), 0o600) },
	"null":          func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
	"empty":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
	"symlink":       func(path string) error { return os.Symlink("/etc/passwd", path) },
	"endless":       func(path string) error { return os.Symlink("/dev/zero", path) },
	"FIFO":          func(path string) error { return unix.Mkfifo(path, 0o600) },
	"huge":          func(path string) error { return os.WriteFile(path, nil, 0o600) }, // and made so below
	"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
	"full of files": func(path string) error { return os.MkdirAll(filepath.Join(path, "a", "b"), 0o700) },
}

// odd puts an oddity in the place of a file.
func odd(t *testing.T, path, kind string) {
	t.Helper()
	must(t, os.RemoveAll(path))
	must(t, oddities[kind](path))
	if kind == "huge" {
		must(t, os.Truncate(path, 1<<40))
	}
}

// Whatever is in the place of a file of an instance, or of the one that is to replace it, no verb waits for it or reads all of it, nothing is written
// through it, and a container is destroyed in the end with nothing left.
func TestOddFiles(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	canary, err := os.ReadFile("/etc/passwd")
	must(t, err)
	for kind := range oddities {
		t.Run(kind, func(t *testing.T) {
			kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, n.keeper(t)}})
			c := probed(n.container("web", forever))
			c.Spec.Hooks.Poststop = []spec.Hook{script("true")}
			n.run(t, c, 1)
			n.hear(t, "web", "up")
			for _, file := range []string{"poststop.json", "instance.json", "start.json", "exit.json", "stop.json", "starting.json", "exposed", "stdin", "poststop.json.new", "instance.json.new", "start.json.new", "exit.json.new", "stop.json.new", "starting.json.new", "notify.json", "notify.json.new", "notify"} {
				odd(t, n.file("web", 1, file), kind)
			}
			changed := c
			changed.Spec.Stop.Timeout = spec.Duration(3e9)
			n.tryAll(t, changed)
			soon(t, "destroy", func(ctx context.Context) error { return n.Destroy(ctx, "web", 1, false) })
			n.say(t, n.container("web", ""))
		})
	}
	if now, err := os.ReadFile("/etc/passwd"); err != nil || string(now) != string(canary) {
		t.Error("something was written through a link")
	}
}

// tryAll tries what can be done with a container; what matters is that each verb ends.
func (n *node) tryAll(t *testing.T, c spec.Container) {
	t.Helper()
	name := c.Metadata.Name
	for verb, do := range map[string]func(ctx context.Context) error{
		"update": func(ctx context.Context) error { return n.Update(ctx, c, 1) },
		"stop":   func(ctx context.Context) error { return n.Stop(ctx, name, 1, "SIGTERM", 0) },
		"start":  func(ctx context.Context) error { return n.Start(ctx, name, 1) },
		"exec": func(ctx context.Context) error {
			s, err := n.Exec(ctx, name, 1, command("true"))
			if err == nil {
				err = s.Close()
			}
			return err
		},
	} {
		soon(t, verb, func(ctx context.Context) error {
			if err := do(ctx); err != nil && len(err.Error()) > 2000 {
				t.Errorf("%s: %.2000s", verb, err)
			}
			return nil
		})
	}
}

// What is in the place of the file of an id range is told by its name, before ids are given out twice; and gone with the container.
func TestOddIDs(t *testing.T) {
	n := open(t)
	c := n.container("web", "cat /proc/self/uid_map")
	c.Spec.Namespaces.User.Mode = spec.UserAuto
	first := n.say(t, c)
	for kind := range oddities {
		file := n.path("state", "ids", "old.json")
		must(t, os.MkdirAll(filepath.Dir(file), 0o700))
		odd(t, file, kind)
		if kind == "nothing" {
			continue
		}
		soon(t, kind, func(ctx context.Context) error {
			if err := n.Create(ctx, c, 1, spec.DefaultsVersion); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v", kind, err)
			}
			return nil
		})
		must(t, os.RemoveAll(file))
		odd(t, n.path("state", "ids", "web.json.new"), kind)
		soon(t, kind+".new", func(ctx context.Context) error {
			if n.Create(ctx, c, 1, spec.DefaultsVersion) != nil {
				must(t, os.RemoveAll(n.path("state", "ids", "web.json.new")))
			}
			return n.Destroy(ctx, "web", 1, false)
		})
		must(t, os.RemoveAll(n.path("state", "ids")))
	}
	if again := n.say(t, c); again != first {
		t.Errorf("ids: %q, at first %q", again, first)
	}
}
