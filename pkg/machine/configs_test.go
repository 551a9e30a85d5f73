package machine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// conf is a config whose values are all the same: half of one and half of another would be seen.
func conf(use spec.ConfigUse, value string) spec.Projection {
	return use.Project(spec.Contents{
		Env:   map[string]string{"VALUE": value, "SAID": value},
		Files: map[string][]byte{"a": []byte(strings.Repeat(value+"\n", 1000)), "b": []byte(value), ".hidden": []byte(value)},
	})
}

func (n *node) give(name string, p spec.Projection) {
	n.t.Helper()
	must(n.t, n.Configure(n.t.Context(), name, 1, []spec.Projection{p}))
}

// begin creates and starts an instance with a config.
func (n *node) begin(c spec.Container, p spec.Projection) {
	n.t.Helper()
	must(n.t, n.Create(n.t.Context(), c, 1, spec.DefaultsVersion))
	n.give(c.Metadata.Name, p)
	must(n.t, n.Start(n.t.Context(), c.Metadata.Name, 1))
}

// A container sees files and variables, cannot write there, and sees others when they are given. The directory is made in the rootfs.
func TestConfigs(t *testing.T) {
	n := open(t)
	use := spec.ConfigUse{Name: "conf", Path: "/etc/conf/web", Env: true, Prefix: "WEB_", Mode: "0440"}
	c := n.container("web", "trap 'cat /etc/conf/web/b' HUP; echo up; while :; do sleep 0.05; done")
	c.Spec.Configs, c.Spec.Env = []spec.ConfigUse{use}, map[string]string{"WEB_SAID": "manifest"}
	n.begin(c, conf(use, "one"))
	n.hear("web", "up")
	look := func(script, want string) {
		t.Helper()
		if said, _, err := n.sh("web", script); err != nil || strings.TrimSpace(said) != want {
			t.Errorf("%s: got %q, %v, want %q", script, said, err, want)
		}
	}
	look("cat /etc/conf/web/b /etc/conf/web/.hidden; echo $WEB_VALUE $WEB_SAID", "oneoneone manifest")
	look("tr '\\0' '\\n' </proc/1/environ | grep ^WEB_ | sort | tr '\\n' ' '", "WEB_SAID=manifest WEB_VALUE=one")
	look("stat -Lc '%a %u %g' /etc/conf/web/b; stat -c %a /etc/conf/web", "440 0 0\n755")
	look("echo x 2>&1 >/etc/conf/web/x | grep -o 'Read-only file system'", "Read-only file system")
	look("grep ' /etc/conf/web ' /proc/mounts | cut -d' ' -f4 | tr , '\\n' | grep -E '^(ro|nosuid|nodev|noexec)$' | sort | tr '\\n' ' '", "nodev noexec nosuid ro")
	n.give("web", conf(use, "two"))
	look("cat /etc/conf/web/b; echo; ls -A /etc/conf/web | grep -c '^\\.\\.[0-9a-f]*$'", "two\n2")
	must(t, n.Kill(t.Context(), "web", 1, "SIGHUP"))
	n.hear("web", "two")
	dropped := use.Project(spec.Contents{Env: map[string]string{"VALUE": "two"}, Files: map[string][]byte{"c": []byte("three")}})
	n.give("web", dropped)
	look("cat /etc/conf/web/c; echo; ls /etc/conf/web; ls -A /etc/conf/web | wc -l", "three\nc\n4")
}

// Who reads in a loop sees one version or the other, whole, and never none.
func TestConfigAtomic(t *testing.T) {
	n := open(t)
	use := spec.ConfigUse{Name: "conf", Path: "/conf"}
	c := n.container("web", "echo up; while :; do sort -u /conf/a >/tmp/a || echo gone; test $(wc -l </tmp/a) = 1 || echo mixed; test -s /tmp/a || echo empty; cat /conf/b >/dev/null || echo gone; done")
	c.Spec.Configs = []spec.ConfigUse{use}
	n.begin(c, conf(use, "0"))
	n.hear("web", "up")
	dir := n.path("run", "state", "web", "1", "config", "conf", "files")
	stop, readers := make(chan struct{}), make(chan error)
	go func() {
		for reads := 0; ; reads++ {
			select {
			case <-stop:
				t.Logf("%d reads", reads)
				readers <- nil
				return
			default:
			}
			data, err := os.ReadFile(filepath.Join(dir, "a"))
			lines := strings.Fields(string(data))
			if err != nil || len(lines) != 1000 || lines[0] != lines[999] {
				readers <- fmt.Errorf("read %d lines, %v", len(lines), err)
				return
			}
		}
	}()
	for i := range 200 {
		n.give("web", conf(use, fmt.Sprint(i%7)))
	}
	close(stop)
	must(t, <-readers)
	if said := n.output("web"); strings.TrimSpace(said) != "up" {
		t.Errorf("a reader in the container says %q", said)
	}
}

// Whatever stands in the directory of a config makes way for what is given, and no link in it leads out.
func TestConfigSpoiled(t *testing.T) {
	n := open(t)
	c := n.container("web", "sleep 1000")
	use := spec.ConfigUse{Name: "conf", Path: "/conf"}
	c.Spec.Configs = []spec.ConfigUse{use}
	n.begin(c, conf(use, "two"))
	dir, outside := n.path("run", "state", "web", "1", "config", "conf", "files"), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "a"), []byte("kept"), 0o600))
	version, err := os.Readlink(filepath.Join(dir, "..data"))
	must(t, err)
	n.give("web", conf(use, "one"))
	second, err := os.Readlink(filepath.Join(dir, "..data"))
	must(t, err)
	for _, way := range []func(path string) error{
		func(path string) error { return os.Symlink(outside, path) },
		func(path string) error { return os.Symlink(filepath.Join(outside, "a"), path) },
		func(path string) error { return os.WriteFile(path, []byte("spoiled"), 0o777) },
		func(path string) error {
			return errors.Join(os.MkdirAll(filepath.Join(path, "deep", "deeper"), 0o755), os.Symlink(outside, filepath.Join(path, "deep", "out")))
		},
	} {
		for _, name := range []string{"..data", "..new", version, second, "a", "stale"} {
			path := filepath.Join(dir, name)
			must(t, os.RemoveAll(path))
			must(t, way(path))
			if info, err := os.Lstat(path); err == nil && info.IsDir() && (name == version || name == second) {
				must(t, os.RemoveAll(path)) // a version that is there was written whole: who spoils it has spoiled its own
			}
			for _, value := range []string{"two", "one"} {
				n.give("web", conf(use, value))
				if said, _, err := n.sh("web", "cat /conf/b; uniq /conf/a"); err != nil || said != value+value+"\n" {
					t.Errorf("%s: got %q, %v", name, said, err)
				}
			}
			if _, err := os.Lstat(filepath.Join(dir, "stale")); err == nil {
				t.Errorf("%s: what is stale is there still", name)
			}
		}
	}
	if kept, err := os.ReadFile(filepath.Join(outside, "a")); err != nil || string(kept) != "kept" {
		t.Errorf("outside: got %q, %v", kept, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// In a user namespace the files are the superuser's of the container, and its users read what the mode lets them.
func TestConfigUsers(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	n := open(t)
	use := spec.ConfigUse{Name: "conf", Path: "/conf"}
	c := n.container("web", "id -u; cat /conf/b; echo; stat -Lc '%u %g %a' /conf/b /conf")
	c.Spec.Namespaces.User.Mode, c.Spec.User, c.Spec.Configs = spec.UserAuto, "1000:1000", []spec.ConfigUse{use}
	n.begin(c, conf(use, "one"))
	n.hear("web", "1000\none\n0 0 444\n0 0 755\n")
}

// An image of a container with configs is restored, into its instance and into another, with users of its own or without; what its process had seen is
// known.
func TestConfigImage(t *testing.T) {
	kerneltest.Criu(t)
	for name, mode := range map[string]spec.UserMode{"node's users": "", "its own users": spec.UserAuto} {
		t.Run(name, func(t *testing.T) { configImage(t, mode) })
	}
}

func configImage(t *testing.T, mode spec.UserMode) {
	if mode != "" {
		kerneltest.Require(t, feature.UserNamespaces)
	}
	n := open(t)
	use := spec.ConfigUse{Name: "conf", Path: "/conf", Env: true}
	c := n.container("web", "exec 5</conf/b; "+counter)
	c.Spec.Configs, c.Spec.Namespaces.User.Mode = []spec.ConfigUse{use}, mode
	one, two := conf(use, "one"), conf(use, "two")
	n.begin(c, one)
	n.until("a count", func() bool { return n.count("web") > 3 })
	img := n.checkpoint("web", spec.CheckpointOptions{Stop: true})
	if img.Configs["conf"] != one.Hash {
		t.Errorf("the image has seen %v", img.Configs)
	}
	n.give("web", two)
	at := n.count("web")
	n.restore("web", img.Ref())
	n.until("the next count", func() bool { return n.count("web") > at })
	if got := n.look("web").Configs["conf"]; got.Written != two.Hash || got.Seen != one.Hash {
		t.Errorf("restored: %+v", got)
	}
	if said, _, err := n.sh("web", "cat /conf/b; stat -Lc ' %u' /conf/b"); err != nil || said != "two 0\n" {
		t.Errorf("it sees %q, %v", said, err)
	}
	n.checkpoint("web", spec.CheckpointOptions{Stop: true, Keep: true})
	must(t, n.Create(t.Context(), c, 2, spec.DefaultsVersion))
	must(t, n.Configure(t.Context(), "web", 2, []spec.Projection{one}))
	must(t, n.Destroy(t.Context(), "web", 1, true))
	if err := n.Restore(t.Context(), "web", 2, img.Ref()); err != nil {
		t.Fatalf("into another instance: %v", err)
	}
	if got := n.look("web").Configs["conf"]; n.look("web").ID != 2 || got.Written != one.Hash || got.Seen != one.Hash {
		t.Errorf("restored into another instance: %+v", got)
	}
}

// Without anything that is not said, and on a root that nobody writes to, a config is where it is to be as well.
func TestConfigBases(t *testing.T) {
	n := open(t)
	use := spec.ConfigUse{Name: "conf", Path: "/some/where/else"}
	for name, change := range map[string]func(*spec.ContainerSpec){
		"ro":     func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly = true },
		"none":   func(s *spec.ContainerSpec) { s.Base = spec.BaseNone },
		"direct": func(s *spec.ContainerSpec) { s.Rootfs.Writable.Medium = spec.MediumDirect },
		"below": func(s *spec.ContainerSpec) {
			s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Destination: "/some"}}
		},
	} {
		c := n.container(name, "cat /some/where/else/b; echo x >/some/where/else/x")
		c.Spec.Configs = []spec.ConfigUse{use}
		change(&c.Spec)
		n.begin(c, conf(use, "one"))
		n.hear(name, "one")
		n.hear(name, "Read-only file system")
	}
}

// Nothing of a config is on a disk, and nothing of it is left with the instance.
func TestConfigLeavesNothing(t *testing.T) {
	n := open(t)
	use := spec.ConfigUse{Name: "conf", Path: "/conf", Env: true}
	c := n.container("web", "echo up; sleep 1000")
	c.Spec.Configs = []spec.ConfigUse{use}
	const secret = "hunter2-0815"
	n.begin(c, conf(use, secret))
	n.hear("web", "up")
	n.reopen()
	if found := holding(t, secret, n.path("state"), n.path("log")); found != nil {
		t.Errorf("it is in %v", found)
	}
	if found := holding(t, secret, n.path("run")); len(found) == 0 {
		t.Error("it is not where it has to be")
	}
	must(t, n.Destroy(t.Context(), "web", 1, false))
	if found := holding(t, secret, n.path("run")); found != nil {
		t.Errorf("it is left in %v", found)
	}
}

// holding are the files below directories that hold a text.
func holding(t *testing.T, text string, dirs ...string) (found []string) {
	t.Helper()
	for _, dir := range dirs {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if strings.Contains(string(data), text) {
				found = append(found, path)
			}
			return err
		}))
	}
	return found
}
