package ocicmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// tracing gives a container's processes the capability to look into others.
func tracing(s *specs.Spec) {
	c := s.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
		*set = append(*set, "CAP_SYS_PTRACE")
	}
}

// frugal leaves a container with so few descriptors that only stdio can be used.
func frugal(s *specs.Spec) {
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 3, Hard: 3}}
}

// A created container's first process has nothing of the node that whoever comes next could take from it: pipes to those who wait for it, and the FIFOs of
// its start. Neither is there a capability, or a call, that the command has not got.
func TestCreatedHasNothing(t *testing.T) {
	w := newWorld(t)
	seen := filepath.Join(w.dir, "seen")
	if err := os.Mkdir(seen, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*specs.Spec){
		"plain": func(*specs.Spec) {}, "frugal": frugal,
		"filtered": func(s *specs.Spec) {
			tracing(s)
			s.Process.NoNewPrivileges = false
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"reboot"}, Action: specs.ActErrno}}}
		},
		"hooked": func(s *specs.Spec) {
			tracing(s)
			hooked("ls -l /proc/1/fd > "+seen+"/hooked", "startContainer")(s)
			s.Mounts = append(s.Mounts, specs.Mount{Destination: seen, Type: "bind", Source: seen})
		},
	} {
		w.run("create", "--bundle", w.bundle(name, "sleep 1000", edit), name)
		pid := w.state(name).Pid
		var has []string
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		w.must(err)
		for _, entry := range entries {
			file, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, entry.Name()))
			w.must(err)
			has = append(has, file)
		}
		w.nothing(name, has[3:])
		status := w.read(fmt.Sprintf("/proc/%d/status", pid))
		if !strings.Contains(status, "CapEff:\t00000000") {
			t.Fatalf("%s: the status is\n%s", name, status)
		}
		line := func(key string) string { return strings.Fields(status[strings.Index(status, key+":"):])[1] }
		if name == "filtered" && (line("CapPrm") != line("CapBnd") || line("Seccomp") != "2") {
			t.Errorf("%s waits with capabilities %s of %s, filtered: %s", name, line("CapPrm"), line("CapBnd"), line("Seccomp"))
		}
		w.run("start", name)
		if name == "frugal" {
			w.is(name, specs.StateRunning)
			if limits := strings.Join(strings.Fields(w.read(fmt.Sprintf("/proc/%d/limits", pid))), " "); !strings.Contains(limits, "Max open files 3 3 files") {
				t.Errorf("%s has the limits %s", name, limits)
			}
		}
	}
	var has []string
	for line := range strings.Lines(w.read(seen + "/hooked")) {
		if _, file, ok := strings.Cut(strings.TrimSpace(line), " -> "); ok {
			has = append(has, file)
		}
	}
	if len(has) < 4 {
		t.Fatalf("the hook saw %q", has)
	}
	w.nothing("hooked, seen from inside", has[3:])
}

// nothing tells that descriptors are but pipes and FIFOs.
func (w *world) nothing(name string, files []string) {
	w.Helper()
	for _, file := range files {
		isFIFO := strings.HasPrefix(file, w.root) && slices.Contains([]string{"exec.fifo", "exec.result"}, filepath.Base(file))
		if !isFIFO && !strings.HasPrefix(file, "pipe:[") {
			w.Errorf("%s has %s", name, file)
		}
	}
	if len(files) > 8 {
		w.Errorf("%s has %d files: %q", name, len(files), files)
	}
}
