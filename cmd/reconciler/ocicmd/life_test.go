package ocicmd_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// A container's life, as an engine leads it, and what is refused at each stage.
func TestLife(t *testing.T) {
	w := newWorld(t)
	pidFile := filepath.Join(w.dir, "pid")
	bundle := w.bundle("c", "echo started > /begun; sleep 1000", func(s *specs.Spec) {
		s.Root.Readonly = false
		s.Annotations = map[string]string{"a": "b"}
	})
	w.refused(1, "container does not exist", "state", "c")
	w.refused(1, "container does not exist", "start", "c")
	w.refused(1, "container does not exist", "delete", "c")
	w.run("delete", "--force", "c")

	w.run("create", "--bundle", bundle, "--pid-file", pidFile, "c")
	created := w.state("c")
	if created.Status != specs.StateCreated || created.Bundle != bundle || created.Rootfs != filepath.Join(bundle, "rootfs") || created.Annotations["a"] != "b" {
		t.Errorf("created: %+v", created)
	}
	if got := w.read(pidFile); got != strconv.Itoa(created.Pid) {
		t.Errorf("the pid file says %q of process %d", got, created.Pid)
	}
	if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", created.Pid)); strings.Contains(exe, filepath.Base(os.Args[0])) {
		t.Errorf("the waiting process still is the runtime: %s", exe)
	}
	w.refused(1, "container with given ID already exists", "create", "--bundle", bundle, "c")
	w.refused(1, "container cannot be resumed", "resume", "c")
	if _, err := os.Stat(filepath.Join(bundle, "rootfs/begun")); err == nil {
		t.Error("the command runs before its start")
	}
	w.run("start", "c")
	w.soon("begun", func() bool { return w.read(filepath.Join(bundle, "rootfs/begun")) == "started" })
	if s := w.state("c"); s.Status != specs.StateRunning || s.Pid != created.Pid {
		t.Errorf("running: %+v", s)
	}
	w.refused(1, "cannot start an already running container", "start", "c")
	w.refused(1, "cannot delete container c that is not stopped: running", "delete", "c")

	w.run("pause", "c")
	w.is("c", oci.StatePaused)
	w.refused(255, "cannot exec in a paused container", "exec", "c", "true")
	w.refused(1, "container cannot be paused", "pause", "c")
	w.run("resume", "c")
	w.is("c", specs.StateRunning)

	w.run("kill", "c", "KILL")
	w.is("c", specs.StateStopped)
	if pid := w.state("c").Pid; pid != 0 {
		t.Errorf("a stopped container has the pid %d", pid)
	}
	w.refused(1, "container not running", "kill", "c")
	w.refused(1, "cannot start a container that has stopped", "start", "c")
	w.refused(255, "cannot exec in a stopped container", "exec", "c", "true")
	w.refused(1, "container not running", "pause", "c")
	w.run("delete", "c")
	w.refused(1, "container does not exist", "state", "c")
}

// What other programs read of a runtime is as runc has it.
func TestAsRuncHasIt(t *testing.T) {
	w := newWorld(t)
	type shown struct {
		state, list map[string]any
		ps          int
		codes       []int
		table       string
	}
	show := func(binary string) (s shown) {
		me := &world{T: t, dir: w.dir, root: filepath.Join(w.dir, filepath.Base(binary)+"-root"), parent: w.parent, binary: binary}
		id := "x" + filepath.Base(binary)
		bundle := w.bundle(id, "sleep 1000")
		defer me.try("delete", "--force", id)
		me.run("run", "--detach", "--bundle", bundle, id)
		if err := json.Unmarshal([]byte(me.run("state", id)), &s.state); err != nil {
			t.Fatal(err)
		}
		var all []map[string]any
		if err := json.Unmarshal([]byte(me.run("list", "--format", "json")), &all); err != nil || len(all) != 1 {
			t.Fatalf("list: %v, %v", all, err)
		}
		s.list = all[0]
		var pids []int
		if err := json.Unmarshal([]byte(me.run("ps", "--format", "json", id)), &pids); err != nil {
			t.Fatal(err)
		}
		s.ps = len(pids)
		s.table = strings.Join(strings.Fields(strings.SplitN(me.run("list"), "\n", 2)[0]), " ")
		for _, args := range [][]string{
			{"exec", id, "sh", "-c", "exit 7"},
			{"exec", id, "sh", "-c", "kill -9 $$"},
			{"exec", id, "nothing"},
			{"exec", id, "/nothing"},
			{"state", "none"},
			{"kill", id, "NONE"},
			{"delete", id},
			{"create", "--bundle", bundle, id},
			{"delete", "--force", "none"},
			{"kill", id, "9"},
			{"strange"},
		} {
			s.codes = append(s.codes, me.try(args...).code)
		}
		return s
	}
	// What runc 1.1.5 shows, and where it is installed, what that one does.
	theirs, ours := shown{
		state: map[string]any{"ociVersion": "", "id": "", "pid": 0, "status": "", "bundle": "", "rootfs": "", "created": "", "owner": ""},
		ps:    1, table: "ID PID STATUS BUNDLE CREATED OWNER", codes: []int{7, 137, 255, 255, 1, 1, 1, 1, 0, 0, 3},
	}, show(w.binary)
	theirs.list = map[string]any{"owner": "root"}
	for k := range theirs.state {
		if k != "owner" {
			theirs.list[k] = ""
		}
	}
	if runc, err := exec.LookPath("runc"); err == nil {
		installed := show(runc)
		if got, want := fmt.Sprint(installed.codes, installed.ps, installed.table, keys(installed.state), keys(installed.list)), fmt.Sprint(theirs.codes, theirs.ps, theirs.table, keys(theirs.state), keys(theirs.list)); got != want {
			t.Logf("this runc shows %s, 1.1.5 %s", got, want)
			theirs = installed
		}
	}
	if got, want := keys(ours.state), keys(theirs.state); !slices.Equal(got, want) {
		t.Errorf("state has %v, runc's %v", got, want)
	}
	if got, want := keys(ours.list), keys(theirs.list); !slices.Equal(got, want) || ours.list["owner"] != theirs.list["owner"] {
		t.Errorf("list has %v of %v, runc's %v of %v", got, ours.list["owner"], want, theirs.list["owner"])
	}
	if ours.ps != theirs.ps || ours.table != theirs.table {
		t.Errorf("ps has %d, the table %q; runc's %d, %q", ours.ps, ours.table, theirs.ps, theirs.table)
	}
	if !slices.Equal(ours.codes, theirs.codes) {
		t.Errorf("the codes are %v, runc's %v", ours.codes, theirs.codes)
	}
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// run gives the command's own code, and leaves nothing.
func TestRun(t *testing.T) {
	w := newWorld(t)
	for script, code := range map[string]int{"exit 0": 0, "exit 42": 42, "kill -TERM $$": 0, "kill -KILL $$": 128 + 9} {
		if strings.HasPrefix(script, "kill -TERM") { // the first process of a pid namespace does not hear itself
			continue
		}
		bundle := w.bundle("r", script, func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] })
		if r := w.try("run", "--bundle", bundle, "r"); r.code != code {
			t.Errorf("%s: code %d, want %d\n%s", script, r.code, code, r.err)
		}
		w.refused(1, "container does not exist", "state", "r")
	}
	w.run("run", "--keep", "--bundle", w.bundle("kept", "true"), "kept")
	w.is("kept", specs.StateStopped)

	cmd := w.command("run", "--bundle", w.bundle("signalled", "trap 'exit 5' TERM; echo ready > /ready; while :; do sleep 0.01; done", func(s *specs.Spec) { s.Root.Readonly = false }), "signalled")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.soon("ready", func() bool { return w.read(filepath.Join(w.dir, "bundle-signalled/rootfs/ready")) != "" })
	_ = cmd.Process.Signal(sigterm)
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("after a signal: %v", cmd.ProcessState)
	}
}

// A command that cannot be executed is told in words that engines look for, by create as well.
func TestMissingCommand(t *testing.T) {
	w := newWorld(t)
	for command, want := range map[string]string{
		"nothing":        "executable file not found in $PATH",
		"/nothing":       "no such file or directory",
		"/etc/passwd":    "permission denied",
		"/etc/passwd/it": "not a directory",
	} {
		bundle := w.bundle("m", "", func(s *specs.Spec) { s.Process.Args = []string{command} })
		for _, verb := range []string{"run", "create"} {
			log := filepath.Join(w.dir, "log")
			r := w.try("--log", log, "--log-format", "json", verb, "--bundle", bundle, "m")
			var line struct{ Level, Msg, Time string }
			lines := strings.Split(w.read(log), "\n")
			err := json.Unmarshal([]byte(lines[len(lines)-1]), &line)
			if r.code != 1 || !strings.Contains(r.err, want) || err != nil || line.Level != "error" || !strings.Contains(line.Msg, want) || line.Time == "" {
				t.Errorf("%s of %s: code %d, %q; the log has %+v, %v", verb, command, r.code, r.err, line, err)
			}
			w.refused(1, "container does not exist", "state", "m")
		}
	}
	// What create cannot see, start tells.
	bundle := w.bundle("n", "", func(s *specs.Spec) { s.Process.Args = []string{"/bin"} })
	w.run("create", "--bundle", bundle, "n")
	w.refused(1, "permission denied", "start", "n")
	w.is("n", specs.StateStopped)
	w.run("delete", "n")
}

// Of two that create one container, one does.
func TestCreateRace(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("c", "sleep 1000")
	for range 5 {
		var group sync.WaitGroup
		results := make([]result, 4)
		for i := range results {
			group.Go(func() { results[i] = w.try("create", "--bundle", bundle, "c") })
		}
		group.Wait()
		made := 0
		for _, r := range results {
			if r.code == 0 {
				made++
			} else if !strings.Contains(r.err, "container with given ID already exists") {
				t.Errorf("%+v", r)
			}
		}
		if made != 1 {
			t.Errorf("%d were made", made)
		}
		w.is("c", specs.StateCreated)
		w.run("delete", "c")
	}
}

func TestHostileIDs(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("c", "sleep 1000")
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/a", "a b", "a\n", "ä", strings.Repeat("x", 256), "-x"} {
		for _, verb := range [][]string{{"create", "--bundle", bundle, "--", id}, {"delete", "--force", "--", id}, {"state", "--", id}, {"kill", "--", id}, {"exec", "--", id, "true"}} {
			if r := w.try(verb...); r.code == 0 && id != "-x" {
				t.Errorf("%q: %+v", verb, r)
			}
		}
	}
	if all, _ := os.ReadDir(w.dir); len(all) > 6 {
		t.Errorf("made: %v", all)
	}
}

// A configuration that cannot be used leaves nothing.
func TestHostileConfigurations(t *testing.T) {
	w := newWorld(t)
	for what, edit := range map[string]func(*specs.Spec){
		"no such root":    func(s *specs.Spec) { s.Root.Path = "none" },
		"a cgroup of all": func(s *specs.Spec) { s.Linux.CgroupsPath = "/" },
		"a cgroup above":  func(s *specs.Spec) { s.Linux.CgroupsPath = "/../.." },
		"a file of /proc": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/proc/self", Type: "tmpfs"})
		},
		"another proc": func(s *specs.Spec) { s.Mounts[0].Type = "tmpfs" },
		"no source": func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/a", Type: "bind", Source: "/none/x"})
		},
		"a wrong option":   func(s *specs.Spec) { s.Mounts[1].Options = append(s.Mounts[1].Options, "size=x") },
		"a wrong device":   func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} },
		"a node's sysctl":  func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.core_pattern": "|x"} },
		"no namespace":     func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/etc/passwd" },
		"another kind":     func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/proc/self/ns/uts" },
		"no such cpu":      func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "4000"} },
		"a strange filter": func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "x"} },
		"a wrong cwd":      func(s *specs.Spec) { s.Process.Cwd = "/etc/passwd" },
		"a leaving cwd":    func(s *specs.Spec) { s.Process.Cwd = "/proc/self/fd/7" },
	} {
		if r := w.try("run", "--bundle", w.bundle("h", "true", edit), "h"); r.code != 1 {
			t.Errorf("%s: %+v", what, r)
		}
		w.refused(1, "container does not exist", "state", "h")
	}
	bundle := w.bundle("h", "true")
	for what, text := range map[string]string{
		"no JSON": "{", "another version": `{"ociVersion": "2.0.0"}`, "too long": `{"ociVersion": "1.0.0", "hostname": "` + strings.Repeat("x", 9<<20) + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := w.try("create", "--bundle", bundle, "h"); r.code != 1 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if err := os.Remove(filepath.Join(bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
	w.refused(1, "not found", "create", "--bundle", bundle, "h")
}

// A cgroup that somebody is in is left alone, whatever happens.
func TestOccupiedCgroup(t *testing.T) {
	w := newWorld(t)
	w.run("run", "--detach", "--bundle", w.bundle("first", "sleep 1000"), "first")
	bundle := w.bundle("second", "sleep 1000", func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + w.parent + "/first" })
	w.refused(1, "is not empty", "create", "--bundle", bundle, "second")
	w.run("delete", "--force", "second")
	w.is("first", specs.StateRunning)
}
