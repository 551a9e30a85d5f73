package ocicmd_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// newImageWorld is newWorld with a criu, and a directory for images.
func newImageWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	kerneltest.Criu(t)
	return w
}

func (w *world) image() string { return filepath.Join(w.dir, "image") }

// counted is what a container counts, read from a pipe, as an engine does.
type counted struct {
	pipe *os.File
	last atomic.Int64
}

// counts gives a pipe to be a container's output.
func (w *world) counts() *counted {
	w.Helper()
	r, p, err := os.Pipe()
	if err != nil {
		w.Fatal(err)
	}
	c := &counted{pipe: p}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				c.last.Store(int64(n))
			}
		}
	}()
	w.Cleanup(func() { p.Close(); r.Close(); <-done })
	return c
}

// further waits until it has counted on.
func (w *world) further(c *counted) int {
	w.Helper()
	before := c.last.Load()
	w.soon("counted on", func() bool { return c.last.Load() > before+1 })
	return int(c.last.Load())
}

// into runs a command whose container's output goes to a pipe; its own errors are in a file.
func (w *world) into(c *counted, args ...string) {
	w.Helper()
	cmd := w.command(args...)
	log, err := os.CreateTemp(w.dir, "err")
	if err != nil {
		w.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = c.pipe, c.pipe
	cmd.Args = append([]string{cmd.Args[0], "--log", log.Name()}, cmd.Args[1:]...)
	if err := cmd.Run(); err != nil {
		w.Fatalf("%v: %v\n%s\n%s", args, err, w.read(log.Name()), w.read(filepath.Join(w.image(), "restore.log")))
	}
}

// counter counts, and keeps its count in a file, and in one in memory.
const counter = `i=0; while true; do i=$((i+1)); echo $i; echo $i >/count; echo $i >/dev/shm/count; sleep 0.02; done`

func writable(s *specs.Spec) { s.Root.Readonly = false }

// A container goes on from its image, as it was and where the new configuration puts it; and once more.
func TestCheckpointAndRestore(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	bundle := w.bundle("c", counter, writable)
	w.into(c, "run", "--detach", "--bundle", bundle, "c")
	for round, id := range []string{"c", "d", "e"} {
		before := w.further(c)
		w.run("checkpoint", "--image-path", w.image(), id)
		w.refused(1, "container does not exist", "state", id)
		at := int(c.last.Load())
		next := string('d' + rune(round))
		limit := int64(70 + round)
		config := w.bundle("c", counter, writable, func(s *specs.Spec) {
			s.Linux.CgroupsPath = "/" + w.parent + "/" + next
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
			s.Annotations = map[string]string{"round": strconv.Itoa(round)}
		})
		pidFile := filepath.Join(w.dir, "pid")
		w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", config, "--pid-file", pidFile, next)
		if after := w.further(c); before > at || after <= at || after > at+500 {
			t.Errorf("it counted to %d, %d, and then %d", before, at, after)
		}
		s := w.state(next)
		if s.Status != specs.StateRunning || s.Bundle != config || s.Annotations["round"] != strconv.Itoa(round) || w.read(pidFile) != strconv.Itoa(s.Pid) {
			t.Errorf("state: %+v, pid file %q", s, w.read(pidFile))
		}
		if text := w.read(fmt.Sprintf("/proc/%d/cgroup", s.Pid)); !strings.Contains(text, ":/"+w.parent+"/"+next) {
			t.Errorf("it is in %s", text)
		}
		inside := w.run("exec", next, "sh", "-c", `echo $((70+`+strconv.Itoa(round)+`)); cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
			test $(cat /dev/shm/count) -gt `+strconv.Itoa(at)+` && echo memory; ip link show lo | grep -c LOWER_UP; (readlink /proc/self/ns/time; readlink /proc/1/ns/time) | uniq | wc -l`)
		if want := fmt.Sprintf("%[1]d\n%[1]d\nmemory\n1\n1\n", limit); inside != want {
			t.Errorf("inside: %q, want %q", inside, want)
		}
	}
	w.refused(1, "container with given ID already exists", "restore", "--image-path", w.image(), "--bundle", bundle, "f")
}

// A container whose image is taken while it runs, or is paused, goes on running, or is paused.
func TestCheckpointLeavesRunning(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	w.into(c, "run", "--detach", "--bundle", w.bundle("c", counter, writable), "c")
	w.further(c)
	before := w.state("c")
	work := filepath.Join(w.dir, "work")
	w.run("checkpoint", "--leave-running", "--image-path", w.image(), "--work-path", work, "c")
	w.further(c)
	if after := w.state("c"); after.Pid != before.Pid || after.Status != specs.StateRunning {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for _, file := range []string{"dump.log", "stats-dump"} {
		if _, err := os.Stat(filepath.Join(work, file)); err != nil {
			t.Error(err)
		}
	}
	w.run("pause", "c")
	for w.read(filepath.Join(w.dir, "bundle-c/rootfs/count")) == "" { // it is just being written, and will have another size when the image is restored
		w.run("resume", "c")
		w.run("pause", "c")
	}
	w.is("c", oci.StatePaused)
	w.run("checkpoint", "--leave-running", "--image-path", w.image(), "c")
	w.is("c", oci.StatePaused)
	at := int(c.last.Load())
	w.run("resume", "c")
	w.further(c)
	w.run("delete", "--force", "c")
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", w.bundle("c", counter, writable), "c")
	w.further(c)
	if got := w.read(filepath.Join(w.dir, "bundle-c/rootfs/count")); len(got) > len(strconv.Itoa(at))+1 {
		t.Errorf("paused at %d, it goes on with %s", at, got)
	}
}

// In the foreground a restored container is this one's: its exit code, and signals.
func TestRestoreInTheForeground(t *testing.T) {
	w := newImageWorld(t)
	script := `trap 'exit 7' TERM; echo up >/up; while :; do sleep 0.02; done`
	bundle := w.bundle("f", script, writable)
	c := w.counts()
	w.into(c, "run", "--detach", "--bundle", bundle, "f")
	w.soon("up", func() bool { return w.read(bundle+"/rootfs/up") == "up" })
	w.run("checkpoint", "--image-path", w.image(), "f")
	cmd := w.command("restore", "--image-path", w.image(), "--bundle", bundle, "f")
	cmd.Stdout, cmd.Stderr = c.pipe, c.pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.soon("running", func() bool { r := w.try("state", "f"); return strings.Contains(r.out, `"running"`) })
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("restore: %v", err)
	}
	w.refused(1, "container does not exist", "state", "f")
}

// The master of a restored terminal goes to the console socket, and both ends know one another.
func TestRestoredTerminal(t *testing.T) {
	w := newImageWorld(t)
	l, socket := w.listen("console")
	bundle := w.bundle("t", "while read line; do echo got $line; done", writable, func(s *specs.Spec) { s.Process.Terminal = true })
	w.run("run", "--detach", "--console-socket", socket, "--bundle", bundle, "t")
	say := func(text string) *os.File {
		t.Helper()
		master, _ := receive(t, l)
		if _, err := master.WriteString(text + "\n"); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(master)
		for lines.Scan() && !strings.Contains(lines.Text(), "got "+text) {
		}
		if err := lines.Err(); err != nil {
			t.Errorf("after %q: %v", text, err)
		}
		return master
	}
	first := say("one")
	w.run("checkpoint", "--image-path", w.image(), "t")
	first.Close()
	w.refused(1, "without setting console socket", "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "t")
	w.run("restore", "--detach", "--console-socket", socket, "--image-path", w.image(), "--bundle", bundle, "t")
	defer say("two").Close()
	if got := w.run("exec", "t", "readlink", "/proc/1/fd/0"); got != "/dev/pts/0\n" {
		t.Errorf("its input is %q", got)
	}
}

// Connections are kept or closed as it is said, and an error if nothing is said, after which the container goes on.
func TestCheckpointOfConnections(t *testing.T) {
	w := newImageWorld(t)
	// Both ends are inside: what one says, the other hears.
	script := `mkfifo /in /hold; exec 4<>/hold; (nc -l -p 7777 </hold >/heard; echo closed >>/heard) & sleep 0.2; nc 127.0.0.1 7777 < /in & exec 3> /in; i=0
while :; do i=$((i+1)); echo $i >&3; echo $i > /said; sleep 0.02; done`
	bundle := w.bundle("n", script, writable)
	root := filepath.Join(bundle, "rootfs")
	heard := func() int {
		lines := strings.Fields(w.read(root + "/heard"))
		if len(lines) == 0 {
			return 0
		}
		n, _ := strconv.Atoi(lines[len(lines)-1])
		return n
	}
	c := w.counts()
	w.into(c, "run", "--detach", "--bundle", bundle, "n")
	w.soon("connected", func() bool { return heard() > 3 })
	w.refused(1, "open TCP connection", "checkpoint", "--image-path", w.image(), "n")
	at := heard()
	w.soon("going on", func() bool { return heard() > at })
	w.run("checkpoint", "--tcp-established", "--image-path", w.image(), "n")
	at = heard()
	w.refused(1, "TCP", "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "n")
	w.refused(1, "container does not exist", "state", "n")
	w.into(c, "restore", "--detach", "--tcp-established", "--image-path", w.image(), "--bundle", bundle, "n")
	w.soon("going on", func() bool { return heard() > at })
	all := strings.Fields(w.read(root + "/heard"))
	for i, word := range all {
		if word != strconv.Itoa(i+1) {
			t.Fatalf("heard %q as number %d", word, i+1)
		}
	}
	w.run("checkpoint", "--tcp-established", "--image-path", w.image(), "n")
	w.into(c, "restore", "--detach", "--tcp-close", "--image-path", w.image(), "--bundle", bundle, "n")
	w.soon("closed", func() bool { return strings.Contains(w.read(root+"/heard"), "closed") })
}

// A network that is joined by path is joined again.
func TestRestoreJoinsANetwork(t *testing.T) {
	w := newImageWorld(t)
	w.run("run", "--detach", "--bundle", w.bundle("owner", "sleep 1000"), "owner")
	path := fmt.Sprintf("/proc/%d/ns/net", w.state("owner").Pid)
	joined := func(s *specs.Spec) {
		s.Root.Readonly = false
		for i := range s.Linux.Namespaces {
			for kind, name := range map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.UTSNamespace: "uts", specs.IPCNamespace: "ipc"} {
				if s.Linux.Namespaces[i].Type == kind {
					s.Linux.Namespaces[i].Path = filepath.Dir(path) + "/" + name
				}
			}
		}
		s.Hostname = ""
	}
	c := w.counts()
	bundle := w.bundle("j", counter, joined)
	w.into(c, "run", "--detach", "--bundle", bundle, "j")
	w.further(c)
	w.run("checkpoint", "--image-path", w.image(), "j")
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "j")
	w.further(c)
	for _, kind := range []string{"net", "uts", "ipc", "pid", "mnt"} {
		a, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", w.state("owner").Pid, kind))
		b, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", w.state("j").Pid, kind))
		if wants := kind == "net" || kind == "uts" || kind == "ipc"; a == "" || (a == b) != wants {
			t.Errorf("%s: %s and %s", kind, a, b)
		}
	}
	w.run("delete", "--force", "j")
	// What an image has does not decide where its processes are.
	w.refused(1, "", "restore", "--detach", "--image-path", w.image(), "--bundle", w.bundle("j", counter, writable), "j")
	w.refused(1, "container does not exist", "state", "j")
}

// Parameters of a network of its own are those of the configuration again.
func TestRestoredSysctls(t *testing.T) {
	w := newImageWorld(t)
	c := w.counts()
	bundle := w.bundle("s", counter, writable, func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77", "kernel.msgmax": "9999"}
	})
	node := w.read("/proc/sys/kernel/msgmax")
	w.into(c, "run", "--detach", "--bundle", bundle, "s")
	w.further(c)
	w.run("checkpoint", "--image-path", w.image(), "s")
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "s")
	w.further(c)
	if got := w.run("exec", "s", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/msgmax"); got != "77\n9999\n" {
		t.Errorf("inside: %q", got)
	}
	if got := w.read("/proc/sys/kernel/msgmax"); got != node {
		t.Errorf("the node's is %s, and was %s", got, node)
	}
}

// Hooks of a restore are those of creation on the node, and at the end the last ones.
func TestRestoreHooks(t *testing.T) {
	w := newImageWorld(t)
	log := filepath.Join(w.dir, "order")
	bundle := w.bundle("h", counter, writable, hooked(fmt.Sprintf(`echo $1 $(grep -o '"pid":[0-9]*' | grep -o '[0-9]*') >> %s`, log), "prestart", "createRuntime", "createContainer", "poststart", "poststop"))
	c := w.counts()
	order := func() string {
		var names []string
		for line := range strings.Lines(w.read(log)) {
			names = append(names, strings.Fields(line)[0])
		}
		os.Remove(log)
		return strings.Join(names, " ")
	}
	w.into(c, "run", "--detach", "--bundle", bundle, "h")
	order()
	w.further(c)
	w.run("checkpoint", "--image-path", w.image(), "h")
	if got := order(); got != "poststop" {
		t.Errorf("a checkpoint ran %q", got)
	}
	w.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "h")
	pid := strconv.Itoa(w.state("h").Pid)
	if text := w.read(log); !strings.Contains(text, "createRuntime "+pid) {
		t.Errorf("of process %s hooks were told %q", pid, text)
	}
	if got := order(); got != "prestart createRuntime" {
		t.Errorf("a restore ran %q", got)
	}
	w.run("delete", "--force", "h")
	if got := order(); got != "poststop" {
		t.Errorf("its end ran %q", got)
	}
	failing := w.bundle("h", counter, writable, hooked("exit 3", "createRuntime"))
	w.refused(1, "exit status 3", "restore", "--detach", "--image-path", w.image(), "--bundle", failing, "h")
	w.refused(1, "container does not exist", "state", "h")
}

// Runc restores what this runtime has saved, and this runtime what runc has.
func TestImagesAreAsRuncHasThem(t *testing.T) {
	w := newImageWorld(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("skip: needs runc: scripts/deps.sh installs it")
	}
	theirs := &world{T: t, dir: w.dir, root: filepath.Join(w.dir, "runc-root"), parent: w.parent, binary: runc}
	bundle := w.bundle("x", counter, writable, func(s *specs.Spec) {
		var mounts []specs.Mount
		for _, m := range s.Mounts {
			if m.Type != "cgroup" { // with v1 hierarchies each has its own
				mounts = append(mounts, m)
			}
		}
		s.Mounts = append(mounts, specs.Mount{Destination: "/data", Type: "bind", Source: w.dir, Options: []string{"rbind", "ro"}})
	})
	for _, pair := range [][2]*world{{w, theirs}, {theirs, w}} {
		from, to := pair[0], pair[1]
		c := w.counts()
		from.into(c, "run", "--detach", "--bundle", bundle, "x")
		w.further(c)
		from.run("checkpoint", "--image-path", w.image(), "x")
		at := int(c.last.Load())
		to.into(c, "restore", "--detach", "--image-path", w.image(), "--bundle", bundle, "x")
		if after := w.further(c); after <= at || after > at+500 {
			t.Errorf("%s to %s: after %d comes %d", from.binary, to.binary, at, after)
		}
		if got := to.run("exec", "x", "sh", "-c", "cat /dev/shm/count >/dev/null && ls -d /data/bundle-x && ls /sys/firmware | wc -l"); got != "/data/bundle-x\n0\n" {
			t.Errorf("inside: %q", got)
		}
		to.run("delete", "--force", "x")
		if err := os.RemoveAll(w.image()); err != nil {
			t.Error(err)
		}
	}
}
