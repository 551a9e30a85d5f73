package ocicmd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// hooked gives every kind of hook a script, which gets the kind's name as $1.
func hooked(script string, kinds ...string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{}
		for kind, list := range map[string]*[]specs.Hook{
			//lint:ignore SA1019 deprecated, and still in use
			"prestart": &s.Hooks.Prestart, "createRuntime": &s.Hooks.CreateRuntime, "createContainer": &s.Hooks.CreateContainer,
			"startContainer": &s.Hooks.StartContainer, "poststart": &s.Hooks.Poststart, "poststop": &s.Hooks.Poststop,
		} {
			if len(kinds) == 0 || slices.Contains(kinds, kind) {
				*list = []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", script, "hook", kind}, Env: []string{"ONLY=this"}}}
			}
		}
	}
}

// Hooks are run in the order of the specification, where it says, with the state on their standard input and their own environment.
func TestHooks(t *testing.T) {
	w := newWorld(t)
	log := filepath.Join(w.dir, "log")
	if err := os.MkdirAll(log, 0o777); err != nil {
		t.Fatal(err)
	}
	// The log is seen at the same path inside.
	script := fmt.Sprintf(`d=%s; echo $1 >> $d/order; cat > $d/$1.state; tr '\0' '\n' < /proc/self/environ > $d/$1.env; readlink /proc/self/ns/mnt > $d/$1.mnt
readlink /proc/self/ns/uts > $d/$1.uts; test -e /etc/marker && echo inside > $d/$1.root; cat /proc/self/status > $d/$1.status; ls /proc/self/fd | wc -l > $d/$1.fds; true`, log)
	bundle := w.bundle("h", "echo command >> "+log+"/order; sleep 1000", hooked(script), func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: log, Type: "bind", Source: log, Options: []string{"rbind"}})
		s.Root.Readonly = false
		s.Annotations = map[string]string{"k": "v"}
	})
	order := func() string { return strings.Join(strings.Fields(w.read(log+"/order")), " ") }
	w.run("create", "--bundle", bundle, "h")
	if got := order(); got != "prestart createRuntime createContainer" {
		t.Errorf("create ran %s", got)
	}
	pid := w.state("h").Pid
	ns := func(kind string) string {
		text, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		return text
	}
	inside := ns("mnt")
	w.run("start", "h")
	w.soon("started", func() bool { return strings.Contains(order(), "command") && strings.Contains(order(), "poststart") })
	if got := strings.Replace(order(), " poststart", "", 1); got != "prestart createRuntime createContainer startContainer command" {
		t.Errorf("start ran %s", order())
	}
	node, _ := os.Readlink("/proc/self/ns/mnt")
	nodeUTS, _ := os.Readlink("/proc/self/ns/uts")
	uts := ns("uts")
	w.run("delete", "--force", "h")
	if got := order(); !strings.HasSuffix(got, " poststop") {
		t.Errorf("delete ran %s", got)
	}
	for kind, want := range map[string]struct {
		status   specs.ContainerState
		mnt, uts string
		root     string
	}{
		"prestart":        {specs.StateCreating, node, nodeUTS, ""},
		"createRuntime":   {specs.StateCreating, node, nodeUTS, ""},
		"createContainer": {specs.StateCreating, inside, uts, ""},
		"startContainer":  {specs.StateCreated, inside, uts, "inside"},
		"poststart":       {specs.StateRunning, node, nodeUTS, ""},
		"poststop":        {specs.StateStopped, node, nodeUTS, ""},
	} {
		var state specs.State
		if err := json.Unmarshal([]byte(w.read(log+"/"+kind+".state")), &state); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if state.ID != "h" || state.Status != want.status || state.Bundle != bundle || state.Annotations["k"] != "v" || state.Pid != pid {
			t.Errorf("%s got the state %+v", kind, state)
		}
		if env := strings.Fields(w.read(log + "/" + kind + ".env")); !slices.Contains(env, "ONLY=this") || slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") || strings.HasPrefix(v, "HOME=") }) {
			t.Errorf("%s has the environment %q", kind, env)
		}
		if mnt, uts, root := w.read(log+"/"+kind+".mnt"), w.read(log+"/"+kind+".uts"), w.read(log+"/"+kind+".root"); mnt != want.mnt || uts != want.uts || root != want.root {
			t.Errorf("%s ran in %s, %s, root %q; want %s, %s, %q", kind, mnt, uts, root, want.mnt, want.uts, want.root)
		}
		if fds := w.read(log + "/" + kind + ".fds"); fds != "4" { // 0, 1, 2 and that of ls
			t.Errorf("%s has %s descriptors", kind, fds)
		}
		holds := strings.Contains(w.read(log+"/"+kind+".status"), "CapBnd:\t"+strings.Repeat("0", 7)) // few capabilities
		if got := kind == "startContainer"; got != holds {
			t.Errorf("%s is as privileged as a container's process: %v", kind, holds)
		}
	}
}

// What createContainer hooks mount on the root's path is there when the container begins.
func TestHookMounts(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("m", "cat /mnt/it > /found", func(s *specs.Spec) { s.Root.Readonly = false })
	root := filepath.Join(bundle, "rootfs")
	config := filepath.Join(bundle, "config.json")
	if err := os.MkdirAll(root+"/mnt", 0o755); err != nil {
		t.Fatal(err)
	}
	edit := hooked(fmt.Sprintf("/bin/mount -t tmpfs none %[1]s/mnt && echo yes > %[1]s/mnt/it && test -e /proc/self/status", root), "createContainer")
	s := &specs.Spec{}
	if err := json.Unmarshal([]byte(w.read(config)), s); err != nil {
		t.Fatal(err)
	}
	edit(s)
	w.write(config, s)
	w.run("run", "--bundle", bundle, "m")
	if got := w.read(root + "/found"); got != "yes" {
		t.Errorf("the container found %q", got)
	}
	if _, err := os.Stat(root + "/mnt/it"); err == nil {
		t.Error("the mount went to the node")
	}
}

// A hook that fails, or takes too long, ends the container, and says what it had to say.
func TestFailingHooks(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart"} {
		for _, verb := range []string{"create", "run"} {
			id := kind + verb
			bundle := w.bundle(id, "sleep 1000", hooked("echo it hurts >&2; exit 3", kind))
			want := "error running " + kind + " hook #0"
			switch atStart := kind == "startContainer" || kind == "poststart"; {
			case verb == "create" && atStart:
				w.run("create", "--bundle", bundle, id)
				w.refused(1, want, "start", id)
				w.is(id, specs.StateStopped)
				w.run("delete", id)
			default:
				args := []string{verb, "--bundle", bundle, id}
				if r := w.try(args...); r.code != 1 || !strings.Contains(r.err, want) || !strings.Contains(r.err, "it hurts") || !strings.Contains(r.err, "3") {
					t.Errorf("%v: %+v", args, r)
				}
				w.refused(1, "container does not exist", "state", id)
			}
		}
	}
	// poststop cannot undo anything: it is told, and the container goes.
	bundle := w.bundle("stop", "true", hooked("exit 4", "poststop"))
	w.run("create", "--bundle", bundle, "stop")
	if r := w.try("delete", "stop"); r.code != 0 || !strings.Contains(r.err, "poststop") {
		t.Errorf("%+v", r)
	}
	one := 1
	bundle = w.bundle("slow", "true", hooked("sleep 1000", "createContainer"), func(s *specs.Spec) { s.Hooks.CreateContainer[0].Timeout = &one })
	w.refused(1, "past specified timeout of 1s", "create", "--bundle", bundle, "slow")
}

// While a hook runs, the container is being created; and it can be deleted by force.
func TestDeleteWhileCreating(t *testing.T) {
	w := newWorld(t)
	begun := filepath.Join(w.dir, "begun")
	bundle := w.bundle("c", "true", hooked("echo > "+begun+"; exec sleep 5", "createRuntime"))
	create := w.command("create", "--bundle", bundle, "c")
	if err := create.Start(); err != nil {
		t.Fatal(err)
	}
	w.soon("begun", func() bool { _, err := os.Stat(begun); return err == nil })
	if s := w.state("c"); s.Status != specs.StateCreating || s.Pid == 0 {
		t.Errorf("%+v", s)
	}
	w.run("delete", "--force", "c")
	if err := create.Wait(); err == nil {
		t.Error("create succeeded")
	}
	w.refused(1, "container does not exist", "state", "c")
	_ = oci.DefaultRoot
}
