package machine_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// room skips a test where there is less memory available than that, in MiB.
func room(t *testing.T, want int) {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "MemAvailable:" {
			kib, err := strconv.Atoi(fields[1])
			must(t, err)
			if kib>>10 < want {
				t.Skipf("skip: needs %d MiB of memory, has %d", want, kib>>10)
			}
		}
	}
}

// A gigabyte of memory is as it was, every byte.
func TestGigabyte(t *testing.T) {
	if testing.Short() {
		t.Skip("skip: needs time")
	}
	room(t, 4<<10)
	n := open(t)
	c := n.subject("subject", "heap=1024")
	c.Spec.Checkpoint.MaxPause = spec.Duration(5 * time.Minute)
	n.run(c)
	n.until("the subject", func() bool { return strings.Contains(n.output("subject"), "up\n") })
	for range 2 {
		img := n.checkpoint("subject", spec.CheckpointOptions{Stop: true})
		n.restore("subject", img.Ref())
		if bad := n.ask("subject"); bad != "" {
			t.Error(bad)
		}
		t.Logf("frozen %v, %v bytes", img.Frozen, img.Bytes)
		must(t, n.RemoveImage(t.Context(), img.Ref()))
	}
}

// Limits that changed meanwhile are those of the manifest, not those of the image: more, and less.
func TestLimitsAtRestore(t *testing.T) {
	kerneltest.Require(t, feature.Memory, feature.Pids, feature.CPU)
	n := open(t)
	c := n.subject("subject", "heap=64", "tree=3")
	c.Spec.Resources.Memory.Max, c.Spec.Resources.Pids.Max = limit(t, "200Mi"), limit(t, "100")
	n.run(c)
	n.until("the subject", func() bool { return strings.Contains(n.output("subject"), "up\n") })
	for _, want := range []struct{ memory, pids, cpu string }{{"400Mi", "200", "1.5"}, {"150Mi", "60", "500m"}} {
		img := n.checkpoint("subject", spec.CheckpointOptions{Stop: true})
		c.Spec.Resources.Memory.Max, c.Spec.Resources.Pids.Max = limit(t, want.memory), limit(t, want.pids)
		must(t, c.Spec.Resources.CPU.Max.UnmarshalJSON([]byte(strconv.Quote(want.cpu))))
		must(t, n.Update(t.Context(), c, 1))
		n.restore("subject", img.Ref())
		if bad := n.ask("subject"); bad != "" {
			t.Error(bad)
		}
		got := n.look("subject").Resources
		if got.Memory.Max != c.Spec.Resources.Memory.Max || got.Pids.Max != c.Spec.Resources.Pids.Max || got.CPU.Max != c.Spec.Resources.CPU.Max {
			t.Errorf("limits %+v, want %+v", got, c.Spec.Resources)
		}
	}
}

func limit(t *testing.T, text string) (l spec.Limit) {
	t.Helper()
	must(t, l.UnmarshalJSON([]byte(strconv.Quote(text))))
	return l
}

// A pipe that somebody writes to is the standard input before and after, for who is attached anew.
func TestInput(t *testing.T) {
	for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
		n := open(t)
		c := n.subject("subject", "stdin")
		c.Spec.Stdin, c.Spec.Namespaces.User.Mode = true, users
		n.run(c)
		say := func(text string) {
			t.Helper()
			attached, err := n.Attach(t.Context(), "subject", 1)
			must(t, err)
			defer attached.Close()
			_, err = attached.Stdin().Write([]byte(text + "\n"))
			must(t, err)
			n.until("what was said", func() bool { return strings.Contains(n.output("subject"), "heard "+text+"\n") })
		}
		say("first")
		for round := range 2 {
			img := n.checkpoint("subject", spec.CheckpointOptions{Stop: true})
			n.restore("subject", img.Ref())
			say(fmt.Sprint("again", round))
		}
	}
}

// A program in Python, with threads, memory and a socket.
func TestPython(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		t.Skip("skip: needs python3: apt-get install python3-minimal")
	}
	for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
		n := open(t)
		c := n.container("py", "")
		c.Spec.Command = []string{python, "-u", "-c", pythonProgram}
		c.Spec.Checkpoint.Retain, c.Spec.Namespaces.User.Mode = 2, users
		for _, dir := range []string{"/usr", "/lib", "/lib64"} {
			if _, err := os.Stat(dir); err == nil {
				c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: "bind", Source: dir, Destination: dir, Options: []string{"ro"}})
			}
		}
		n.run(c)
		n.until("a count", func() bool { return n.count("py") > 2 })
		for range 2 {
			img := n.checkpoint("py", spec.CheckpointOptions{Stop: true})
			at := n.count("py")
			n.restore("py", img.Ref())
			n.until("the next count", func() bool { return n.count("py") > at+2 })
			if text := n.output("py"); strings.Contains(text, "Traceback") {
				t.Fatal(text)
			}
		}
	}
}

// pythonProgram counts what goes from a thread over a connection to another one, and keeps all numbers.
const pythonProgram = `
import socket, threading, time, hashlib
l = socket.create_server(("127.0.0.1", 0))
def client():
    c = socket.create_connection(l.getsockname())
    n = 0
    while True:
        n += 1
        c.sendall(b"%d\n" % n)
        time.sleep(0.02)
threading.Thread(target=client, daemon=True).start()
s, _ = l.accept()
seen, blob = [], bytes(range(256)) * 40000
digest = hashlib.sha256(blob).digest()
for line in s.makefile():
    seen.append(int(line))
    assert seen == list(range(1, len(seen) + 1)), seen
    assert hashlib.sha256(blob).digest() == digest
    print(len(seen))
`
