package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// point is one place to die at: the n-th call of a name, in whichever thread comes there first.
type point struct {
	call string
	n    int
}

// mutating are the calls that change something outside the process; dying between two others is dying at the next of these.
const mutating = "mkdirat,openat,openat2,write,writev,pwrite64,renameat,renameat2,unlinkat,sendmsg,sendto,recvmsg,close,setxattr,fsetxattr,lsetxattr,mount,mount_setattr,open_tree,move_mount,fsopen,fsconfig,fsmount,umount2,flock,fsync,connect,clone3,waitid,splice,pidfd_open,pidfd_send_signal,mknodat,newfstatat,read,epoll_ctl,setns,unshare"

// calls counts how often the traced process makes each of the calls while f runs.
func calls(t *testing.T, trace string) (points []point) {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts := map[string]map[string]int{} // thread, call
	most := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		thread, rest, ok := strings.Cut(lines.Text(), " ")
		call, _, isCall := strings.Cut(strings.TrimSpace(rest), "(")
		if !ok || !isCall || strings.HasPrefix(call, "<") || strings.ContainsAny(call, " +-") {
			continue
		}
		if counts[thread] == nil {
			counts[thread] = map[string]int{}
		}
		counts[thread][call]++
		most[call] = max(most[call], counts[thread][call])
	}
	for _, call := range strings.Split(mutating, ",") {
		for n := 1; n <= most[call]; n++ {
			points = append(points, point{call, n})
		}
	}
	return points
}

// choose takes a sample of the points, all of them in a soak; the seed is fixed so that a failure comes again.
func choose(points []point, few int) []point {
	if soak || len(points) <= few {
		return points
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points[:few]
}

const once = "echo started; trap 'exit 0' TERM; while :; do sleep 0.2; done"

func strace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("skip: needs strace")
	}
	return path
}

// converged runs the agent to the end and checks that the container started exactly once since the name was new.
func (n *node) converged(what string) {
	n.t.Helper()
	if starts := n.starts(what); starts != 1 {
		n.t.Errorf("%s: started %d times, want once", what, starts)
	}
}

// starts runs the agent to the end and says how often the container has started since the name was new, by its own account.
func (n *node) starts(what string) int {
	n.t.Helper()
	if out, err := n.once(); err != nil {
		n.t.Fatalf("%s: cannot converge afterwards: %v\n%s", what, err, out)
	}
	n.start()
	defer n.signal(syscall.SIGKILL)
	n.phase("victim", spec.PhaseRunning)
	count := 0
	n.eventually("the container says that it started", func() error {
		if count = strings.Count(n.logs("victim"), "started\n"); count == 0 {
			return errors.New("it has not")
		}
		return nil
	})
	return count
}

// cleared removes the manifest, runs the agent to the end and checks that nothing is left.
func (n *node) cleared(what string) {
	n.t.Helper()
	if out, err := n.once("--prune", "always"); err != nil {
		n.t.Fatalf("%s: cannot remove afterwards: %v\n%s", what, err, out)
	}
	if left := n.leftovers(); left != "" {
		n.t.Fatalf("%s: left behind:\n%s", what, left)
	}
}

// TestKillAgentAtEveryCall kills the agent at (call, n) while it creates and while it destroys.
func TestKillAgentAtEveryCall(t *testing.T) {
	path := strace(t)
	n := newNode(t)
	trace := n.path("trace")
	kills := 0
	run := func(inject ...string) {
		n.keep()
		n.prefix = append([]string{path, "-f", "-qqq", "-o", trace, "-e", "trace=" + mutating}, inject...)
		if _, err := n.once("--prune", "always"); err != nil {
			kills++
		}
		n.prefix = nil
	}
	n.put("victim.yaml", manifest("victim", once))
	run()
	creating := calls(t, trace)
	n.remove("victim.yaml")
	run()
	destroying := calls(t, trace)
	n.cleared("without a kill")
	t.Logf("%d points of create, %d of destroy", len(creating), len(destroying))
	for _, p := range choose(creating, 25) {
		what := fmt.Sprintf("agent killed at %s %d of create", p.call, p.n)
		n.put("victim.yaml", manifest("victim", once))
		run("-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", p.call, p.n))
		n.converged(what)
		n.remove("victim.yaml")
		n.cleared(what)
	}
	for _, p := range choose(destroying, 15) {
		what := fmt.Sprintf("agent killed at %s %d of destroy", p.call, p.n)
		n.put("victim.yaml", manifest("victim", once))
		n.converged(what)
		n.remove("victim.yaml")
		run("-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", p.call, p.n))
		n.cleared(what)
	}
	if t.Logf("%d kills", kills); kills == 0 {
		t.Error("no point of the sample was reached: the test proves nothing")
	}
}

// TestKillSweepCatches is the sweep's negative control: an agent that does not commit its instances (their records vanish with
// it) starts the container twice, and the sweep's own check sees it.
func TestKillSweepCatches(t *testing.T) {
	n := newNode(t)
	n.put("victim.yaml", manifest("victim", once))
	n.converged("at first")
	records, _ := filepath.Glob(n.path("run/state/victim/*/instance.json"))
	if len(records) != 1 {
		t.Fatalf("got records %v, want one", records)
	}
	if err := os.Remove(records[0]); err != nil {
		t.Fatal(err)
	}
	if starts := n.starts("without its record"); starts != 2 {
		t.Errorf("started %d times by its own account, want the second start to be seen", starts)
	}
}

// traceKeeper traces the threads of the node's keeper, not its children, and returns when strace has them all.
func (n *node) traceKeeper(path, trace string, inject ...string) (stop func()) {
	n.t.Helper()
	pids := n.keepers()
	if len(pids) != 1 {
		n.t.Fatalf("got keepers %v, want one", pids)
	}
	args := append([]string{"-qqq", "-o", trace, "-e", "trace=" + mutating}, inject...)
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[0]))
	for _, task := range tasks {
		args = append(args, "-p", task.Name())
	}
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.eventually("strace traces the keeper", func() error {
		for _, task := range tasks {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pids[0], task.Name()))
			if strings.Contains(string(status), "TracerPid:\t0\n") {
				return fmt.Errorf("thread %s is not traced", task.Name())
			}
		}
		return nil
	})
	return func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	}
}

// TestKillKeeperAtEveryCall kills the keeper at (call, n) while a container is created and while it is destroyed.
func TestKillKeeperAtEveryCall(t *testing.T) {
	path := strace(t)
	n := newNode(t)
	trace, kills := n.path("trace"), 0
	traced := func(inject ...string) {
		n.keep()
		stop, before := n.traceKeeper(path, trace, inject...), n.keepers()
		defer stop()
		_, _ = n.once("--prune", "always")
		if !slices.Equal(before, n.keepers()) {
			kills++
		}
	}
	n.put("victim.yaml", manifest("victim", once))
	traced("-ff")
	creating := n.traced(trace)
	n.remove("victim.yaml")
	traced("-ff")
	destroying := n.traced(trace)
	t.Logf("%d points of create, %d of destroy", len(creating), len(destroying))
	kills = 0
	for _, p := range choose(creating, 25) {
		what := fmt.Sprintf("keeper killed at %s %d of create", p.call, p.n)
		n.put("victim.yaml", manifest("victim", once))
		traced("-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", p.call, p.n))
		n.converged(what)
		n.remove("victim.yaml")
		n.cleared(what)
	}
	for _, p := range choose(destroying, 10) {
		what := fmt.Sprintf("keeper killed at %s %d of destroy", p.call, p.n)
		n.put("victim.yaml", manifest("victim", once))
		n.converged(what)
		n.remove("victim.yaml")
		traced("-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", p.call, p.n))
		n.cleared(what)
	}
	if t.Logf("%d kills", kills); kills == 0 {
		t.Error("no point of the sample was reached: the test proves nothing")
	}
}

// traced reads the traces that `strace -ff` left, one file a thread, as points.
func (n *node) traced(trace string) (points []point) {
	most := map[string]int{}
	entries, _ := os.ReadDir(n.dir)
	for _, entry := range entries {
		suffix, ok := strings.CutPrefix(entry.Name(), "trace.")
		if _, err := strconv.Atoi(suffix); !ok || err != nil {
			continue
		}
		data, _ := os.ReadFile(n.path(entry.Name()))
		counts := map[string]int{}
		for line := range strings.Lines(string(data)) {
			call, _, _ := strings.Cut(line, "(")
			counts[call]++
			most[call] = max(most[call], counts[call])
		}
		os.Remove(n.path(entry.Name()))
	}
	for _, call := range strings.Split(mutating, ",") {
		for i := 1; i <= most[call]; i++ {
			points = append(points, point{call, i})
		}
	}
	return points
}
