package linux_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// A process of a container may trace another of its user, and whoever traces a process keeps its parent from reaping it. That must hold up
// nobody: neither the session, nor other containers, nor the keeper's upgrade; and nothing is left once the tracer is gone.
func TestTracedExecs(t *testing.T) {
	n := open(t)
	n.run(t, n.attacker(t, "web", "trace"), 1)
	n.hear(t, "web", "up")
	for i := range 20 { // more than the keeper has workers
		e := command("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; exit 7") // without children, which sh would wait for
		e.TTY = i%2 == 0
		if _, exit := n.inside(t, "web", e, ""); exit.Code != 7 {
			t.Errorf("a traced process ended with %+v", exit)
		}
	}
	if said := n.output(t, "web"); !strings.Contains(said, "traced") {
		t.Fatalf("nothing was traced: %q", said)
	}
	n.say(t, n.container("other", "echo still served"))
	must(t, n.Destroy(t.Context(), "web", 1, false))
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left := childrenOf(t, n.keeper(t)); len(left) == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the keeper still has children: %v", left)
		}
	}
}

// childrenOf are the children of all threads of a process.
func childrenOf(t testing.TB, pid int) (children []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	must(t, err)
	for _, file := range files {
		text, _ := os.ReadFile(file)
		children = append(children, strings.Fields(string(text))...)
	}
	return children
}

// A detached process is given a null device of its own: what a superuser inside does to it, and that it changes hands, the node's does not feel.
func TestDetachedNull(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", forever), 1)
	before := kerneltest.HostFiles(t)
	for user, want := range map[string]string{"0": "1:3 7 0\nreopened\n", "web": "1:3 0 666\nreopened\n", "4242": "1:3 0 666\nreopened\n"} {
		e := command(`exec 3>&1; chmod 0 /proc/self/fd/1; chown 7:7 /proc/self/fd/1; stat -L -c "%t:%T %u %a" /proc/self/fd/3 > /dev/shm/said; (: > /dev/stderr) && echo reopened >> /dev/shm/said; chmod 666 /dev/shm/said`)
		e.User, e.Detach = user, true
		s, err := n.Exec(t.Context(), "web", 1, e)
		must(t, err)
		_, err = s.Wait(t.Context())
		must(t, err)
		must(t, s.Close())
		if diff := kerneltest.Diff(before, kerneltest.HostFiles(t)); diff != nil {
			t.Fatalf("as %s: this machine changed: %q", user, diff)
		}
		if got, _ := n.inside(t, "web", command("cat /dev/shm/said; rm -f /dev/shm/said"), ""); got != want {
			t.Errorf("as %s: %q, want %q", user, got, want)
		}
	}
}
