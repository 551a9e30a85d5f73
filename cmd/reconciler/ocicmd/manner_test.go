package ocicmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// Who asks gets a pidfd of the first process.
func TestPidfdSocket(t *testing.T) {
	w := newWorld(t)
	l, socket := w.listen("pidfd")
	bundle := w.bundle("p", "exit 6")
	w.run("create", "--bundle", bundle, "--pidfd-socket", socket, "p")
	pidfd, _ := receive(t, l)
	defer pidfd.Close()
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_PID}
	if err := unix.IoctlPidfdInfo(int(pidfd.Fd()), &info); err == nil && int(info.Pid) != w.state("p").Pid {
		t.Errorf("it is of process %d", info.Pid)
	}
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0); err != nil {
		t.Error(err)
	}
	w.is("p", specs.StateStopped)
}

// Who has given the whole program another name is told why most of it is not there.
func TestAnotherName(t *testing.T) {
	w := newWorld(t)
	out, err := exec.Command(w.binary, "get").CombinedOutput()
	if want := "its name begins with reconciler"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, and %q is not in %s", err, want, out)
	}
}

// Without pivot_root(2) the root is the container's as well, and the node's proc is nowhere.
func TestNoPivot(t *testing.T) {
	w := newWorld(t)
	out := w.run("run", "--no-pivot", "--bundle", w.bundle("p", "cat /etc/marker >/dev/null && ls / | tr '\\n' ' '; cat /proc/self/mountinfo | grep -c ' - proc '; cd ..; pwd"), "p")
	plain := w.run("run", "--bundle", w.bundle("q", "cat /etc/marker >/dev/null && ls / | tr '\\n' ' '; cat /proc/self/mountinfo | grep -c ' - proc '; cd ..; pwd"), "q")
	if out != plain {
		t.Errorf("inside it is\n%s\nand with pivot_root\n%s", out, plain)
	}
}

// Whoever debugs sees what a start does, and how far it came; nobody else does, and nobody sees the environment.
func TestDebugTellsOfTheStart(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("d", "true", func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "PASSWORD=secret") })
	for _, debug := range []bool{false, true} {
		log := filepath.Join(t.TempDir(), "log")
		w.run(fmt.Sprint("--debug=", debug), "--log", log, "--log-format", "json", "create", "--bundle", bundle, "d")
		text := w.read(log)
		for _, want := range []string{`"level":"debug","msg":"change root /: pivot_root(\".\", \".\"): 0"`, `, \"\", 1): not returned"`, "variables}"} {
			if strings.Contains(text, want) != debug {
				t.Errorf("--debug=%v, and %s in the log:\n%s", debug, want, text)
			}
		}
		for _, no := range []string{"secret", "syscall_"} {
			if strings.Contains(text, no) {
				t.Errorf("%s is in the log:\n%s", no, text)
			}
		}
		w.run("delete", "--force", "d")
	}
	fails := w.bundle("e", "true", func(s *specs.Spec) { s.Process.Args, s.Process.Cwd = []string{"/bin/true"}, "/etc/marker" })
	r := w.try("--debug", "run", "--bundle", fails, "e")
	if r.code == 0 || !strings.Contains(r.err, "level=debug") || !strings.Contains(r.err, ": ENOTDIR") {
		t.Errorf("code %d: %s", r.code, r.err)
	}
}

// Engines make networks and say their paths: parameters of such a network can be set, and those of the node's under another name cannot.
func TestJoinedNetworkIsTuned(t *testing.T) {
	w := newWorld(t)
	w.run("create", "--bundle", w.bundle("net", "true"), "net")
	joining := func(path string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				if n := &s.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
					n.Path = path
				}
			}
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77"}
		}
	}
	path := fmt.Sprintf("/proc/%d/ns/net", w.state("net").Pid)
	script := "cat /proc/sys/net/ipv4/ip_default_ttl; readlink /proc/self/ns/net"
	theirs, _ := os.Readlink(path)
	if out := w.run("run", "--bundle", w.bundle("in", script, joining(path)), "in"); out != "77\n"+theirs+"\n" {
		t.Errorf("inside: %q, and it is %s", out, theirs)
	}
	w.refused(1, "belongs to another", "run", "--bundle", w.bundle("node", script, joining("/proc/self/ns/net")), "node")
}

// Clocks of a time namespace, new or joined, for further processes as well.
func TestTimeNamespace(t *testing.T) {
	kerneltest.Require(t, feature.TimeNamespaces)
	w := newWorld(t)
	uptime := func(text string) float64 {
		first, _, _ := strings.Cut(text, " ")
		seconds, err := strconv.ParseFloat(first, 64)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return seconds
	}
	const day = 86400
	node := uptime(w.read("/proc/uptime"))
	bundle := w.bundle("t", "sleep 1000", func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: day}, "monotonic": {Secs: 5, Nanosecs: 6}}
	})
	w.run("run", "--detach", "--bundle", bundle, "t")
	if inside := uptime(w.run("exec", "t", "cat", "/proc/uptime")); inside < node+day || inside > node+2*day {
		t.Errorf("uptime is %v inside and %v on the node", inside, node)
	}
	join := w.bundle("j", "cat /proc/uptime", func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace, Path: fmt.Sprintf("/proc/%d/ns/time", w.state("t").Pid)})
	})
	if inside := uptime(w.run("run", "--bundle", join, "j")); inside < node+day {
		t.Errorf("uptime is %v in one that joins", inside)
	}
}

// Where a container's cgroup is, and what it sees of it.
func TestCgroups(t *testing.T) {
	w := newWorld(t)
	tree := kerneltest.Tree(t)
	script := "cat /proc/self/cgroup | grep ^0:; grep -c ' - cgroup ' /proc/self/mountinfo; ls /sys/fs/cgroup | wc -l"
	own := strings.Fields(w.run("run", "--bundle", w.bundle("own", script), "own"))
	v1 := len(tree.V1) > 0
	if len(own) != 3 || own[0] != "0::/" || v1 != (own[1] != "0") || own[2] == "0" {
		t.Errorf("in a cgroup namespace of its own: %v", own)
	}
	host := w.bundle("host", script, func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:5] })
	if got := strings.Fields(w.run("run", "--bundle", host, "host")); got[0] != "0::/"+w.parent+"/host" {
		t.Errorf("in the node's: %v", got)
	}
	w.refused(1, "systemd", "create", "--bundle", w.bundle("sd", "true", func(s *specs.Spec) { s.Linux.CgroupsPath = "a.slice:b:c" }), "sd")
	// One that is there and empty is used, and goes with the container.
	dir := filepath.Join(tree.Unified, w.parent, "there")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.run("run", "--bundle", w.bundle("there", "true"), "there")
	if _, err := os.Stat(dir); err == nil {
		t.Error("the cgroup stays")
	}
}

// A container that could not be made leaves a cgroup that was there before: as it was when it could not be used, and whatever is in it by then.
func TestFoundCgroup(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(kerneltest.Tree(t).Unified, w.parent, "found")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	is := func(what string) {
		t.Helper()
		if _, err := os.Stat(dir); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	freeze := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	freeze("1")
	w.refused(1, "frozen", "create", "--bundle", w.bundle("found", "true"), "found")
	is("frozen")
	if got := w.read(filepath.Join(dir, "cgroup.freeze")); got != "1" {
		t.Errorf("frozen is %s", got)
	}
	freeze("0")
	missing := func(s *specs.Spec) { s.Process.Args = []string{"nothing"} }
	w.refused(1, "executable file not found", "run", "--bundle", w.bundle("found", "", missing), "found")
	is("of a command that is not there")
	// What is in it by now is not taken for the container's.
	sleep := exec.Command("/bin/sleep", "100000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = sleep.Process.Kill(), sleep.Wait() })
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(sleep.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	w.refused(1, "not empty", "create", "--bundle", w.bundle("found", "true"), "found")
	if pid, err := unix.Wait4(sleep.Process.Pid, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("who was there has ended: %v", err)
	}
	// A container in it takes it with it.
	_, _ = sleep.Process.Kill(), sleep.Wait()
	w.run("run", "--bundle", w.bundle("found", "true"), "found")
	if _, err := os.Stat(dir); err == nil {
		t.Error("the cgroup stays")
	}
}

// An example of spec runs, and is not overwritten.
func TestSpecAndFeatures(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("s", "true")
	if err := os.Remove(filepath.Join(bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
	w.run("spec", "--bundle", bundle)
	w.refused(1, "exists", "spec", "--bundle", bundle)
	config, _, err := oci.ReadConfig(bundle)
	if err != nil {
		t.Fatal(err)
	}
	config.Process.Terminal, config.Process.Args, config.Linux.CgroupsPath = false, []string{"sh", "-c", "hostname"}, "/"+w.parent+"/s"
	config.Process.Rlimits = nil
	w.write(filepath.Join(bundle, "config.json"), config)
	if got := w.run("run", "--bundle", bundle, "s"); strings.TrimSpace(got) != "reconciler" {
		t.Errorf("it says %q", got)
	}
	if got := w.run("features"); !strings.Contains(got, `"ociVersionMax": "`+oci.Version+`"`) || !strings.Contains(got, "CAP_SYS_ADMIN") {
		t.Errorf("features: %s", got)
	}
	if got := w.run("--version"); !strings.HasPrefix(got, "reconciler version ") || !strings.Contains(got, "\nspec: "+oci.Version) {
		t.Errorf("version: %s", got)
	}
	for _, verb := range []string{"", "create", "exec", "update", "checkpoint", "restore"} {
		args := strings.Fields(verb + " --help")
		if got := w.run(args...); !strings.Contains(got, "Usage") {
			t.Errorf("%v: %s", args, got)
		}
	}
}
