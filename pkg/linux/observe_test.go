package linux_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// spoil replaces a file by something: a text, or if it begins with "->", a link.
func spoil(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.RemoveAll(path))
	if target, ok := strings.CutPrefix(text, "->"); ok {
		must(t, os.Symlink(target, path))
		return
	}
	if text == "fifo" {
		must(t, unix.Mkfifo(path, 0o600))
		return
	}
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// edited is a file's JSON with one key changed.
func edited(t testing.TB, path, key string, value any) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	var all map[string]any
	must(t, json.Unmarshal(data, &all))
	all[key] = value
	data, err = json.Marshal(all)
	must(t, err)
	return string(data)
}

// A record that is torn, foreign or no file at all costs the spec, but neither the process nor the identity: Update records it anew.
func TestLostRecord(t *testing.T) {
	kerneltest.Require(t, feature.CgroupXattrs)
	n := open(t)
	c := n.container("web", forever)
	c.Metadata.Labels = map[string]string{"app": "web"}
	n.run(t, c, 1)
	whole := n.look(t, "web", 1)
	path := n.file("web", 1, "instance.json")
	for name, text := range map[string]string{
		"empty": "", "torn": `{"schema":1,"name":"we`, "garbage": "\x00\xff", "list": "[]", "null": "null", "link": "->/etc/passwd", "link to itself": "->instance.json",
		"fifo": "fifo", "schema": edited(t, path, "schema", 99), "foreign": edited(t, path, "name", "db"), "number": edited(t, path, "instance", 2), "boot": edited(t, path, "bootID", "old"),
	} {
		t.Run(name, func(t *testing.T) {
			spoil(t, path, text)
			got := n.look(t, "web", 1)
			if got.Phase != spec.InstanceRunning || got.Pid != whole.Pid || got.Hash != whole.Hash || got.Defaults != whole.Defaults || got.Spec.Metadata.Name != "" {
				t.Errorf("got %+v", got)
			}
			must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
			must(t, n.Start(t.Context(), "web", 1))
			must(t, n.Update(t.Context(), c, 1))
			if got := n.look(t, "web", 1); got.Spec.Metadata.Labels["app"] != "web" || got.Pid != whole.Pid {
				t.Errorf("after Update: %+v", got)
			}
		})
	}
}

// Half-made instances are Broken; every verb but Destroy refuses them, and Destroy removes them.
func TestBroken(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	for name, half := range map[string]func(t *testing.T){
		"no record":      func(t *testing.T) { must(t, os.Remove(n.file("web", 1, "instance.json"))) },
		"no directory":   func(t *testing.T) { must(t, os.RemoveAll(n.file("web", 1, ""))) },
		"no name":        func(t *testing.T) { must(t, os.RemoveAll(n.path("run", "state", "web"))) },
		"no attributes":  func(t *testing.T) { n.forgetIdentity(t); spoil(t, n.file("web", 1, "instance.json"), "{") },
		"other's record": func(t *testing.T) { n.forgetIdentity(t); spoil(t, n.file("web", 1, "instance.json"), "->/dev/zero") },
		"no cgroup": func(t *testing.T) {
			must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
			n.await(t, "web", 1, exited)
			must(t, unix.Rmdir(n.group(t, "web", 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
			c := n.container("web", forever)
			n.run(t, c, 1)
			half(t)
			if got := n.look(t, "web", 1); got.Phase != spec.InstanceBroken || got.Problem == "" {
				t.Errorf("got %+v, want Broken and why", got)
			}
			for _, verb := range verbs[:len(verbs)-1] {
				if verb.do(t.Context(), n, c, 1) == nil {
					t.Errorf("%s of a broken instance succeeded", verb.name)
				}
			}
			must(t, n.Destroy(t.Context(), "web", 1, false))
		})
	}
}

func (n *node) forgetIdentity(t *testing.T) {
	kerneltest.Require(t, feature.CgroupXattrs)
	must(t, unix.Removexattr(n.group(t, "web", 1), "user.reconciler.identity"))
}

// What is in the keeper's files is believed only where the cgroup does not say otherwise, and never makes up a code.
func TestSpoiledKeeperFiles(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", "echo up; sleep 1000; true"), 1)
	n.run(t, n.container("ended", "exit 3"), 1)
	n.await(t, "ended", 1, exited)
	running := n.look(t, "web", 1)
	texts := []string{"", "{", "\x00\xff", "[]", "12", "->/etc/passwd", "->/dev/zero", "fifo", `{"code":"x"}`}
	for _, text := range texts {
		spoil(t, n.file("web", 1, "exit.json"), text)
		spoil(t, n.file("web", 1, "stop.json"), text)
		if got := n.look(t, "web", 1); got.Phase != spec.InstanceRunning || got.Pid != running.Pid || !got.Stopping.IsZero() {
			t.Errorf("%q of a running one: %+v", text, got)
		}
		spoil(t, n.file("ended", 1, "exit.json"), text)
		if got := n.look(t, "ended", 1); got.Phase != spec.InstanceExited || got.Exit.Code != -1 || got.Exit.Reason != spec.ExitUnknown {
			t.Errorf("%q of an ended one: %+v, exit %+v", text, got, got.Exit)
		}
	}
	for _, text := range append(texts, `{"pid":1,"bootID":"old"}`) {
		spoil(t, n.file("web", 1, "start.json"), text)
		spoil(t, n.file("ended", 1, "start.json"), text)
		if got := n.look(t, "web", 1); got.Phase != spec.InstanceRunning {
			t.Errorf("%q of a running one: %+v", text, got)
		}
		if got := n.look(t, "ended", 1); got.Phase != spec.InstanceCreated || got.Pid != 0 {
			t.Errorf("%q of an ended one: %+v", text, got)
		}
	}
	must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", patience))
	must(t, n.Start(t.Context(), "ended", 1))
	if got := n.await(t, "ended", 1, exited).Exit; got.Code != 3 {
		t.Errorf("the next start ended as %+v", got)
	}
}

// What others put among the node's files and cgroups is not the node's.
func TestStrangers(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", forever), 1)
	tree := kerneltest.Tree(t).Unified
	for _, name := range []string{"web/0", "web/007", "web/other", "Upper", "-x", "empty"} {
		must(t, os.MkdirAll(filepath.Join(tree, n.groups(), name), 0o755))
	}
	for _, name := range []string{"web/0", "web/007", "web/x", "web/+1", "Upper/1", "a.b/1", "lonely"} {
		must(t, os.MkdirAll(n.path("run", "state", name), 0o700))
	}
	must(t, os.Symlink("/etc", n.path("run", "state", "link")))
	must(t, os.WriteFile(n.path("run", "state", "web", "2"), nil, 0o600))
	all, err := n.Observe(t.Context())
	if err != nil || len(all) != 1 || all[0].Name != "web" || all[0].ID != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
	for _, name := range []string{"web/0", "web/007", "web/other", "Upper", "-x", "empty"} {
		must(t, unix.Rmdir(filepath.Join(tree, n.groups(), name)))
	}
}
