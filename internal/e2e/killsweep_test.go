package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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

// choose takes a sample of the points, all of them in a soak.
func choose(points []point, few int) []point {
	if soak {
		return points
	}
	return pick(points, few)
}

// pick takes some points; the seed is fixed so that a failure comes again.
func pick(points []point, some int) []point {
	if len(points) <= some {
		return points
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points[:some]
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

// sweep is one campaign: whom it kills, and what it has found.
type sweep struct {
	n   *node
	who string
	// run runs the agent to the end, with the victim traced as strace's further arguments say.
	run func(inject ...string)
	// points reads the places to die at from the traces of a run with these arguments.
	points func() []point
	quiet  []string
	// more are further lines of the container's spec.
	more string
	// spoil breaks the node after each kill, for the negative control; nil does not.
	spoil func()

	tried, kills int
	faults       []string
}

// everywhere kills at a sample of the points of one create and one destroy, and notes what did not converge.
func (s *sweep) everywhere(create, destroy int) {
	n := s.n
	n.put("victim.yaml", manifest("victim", once, s.more))
	s.run(s.quiet...)
	creating := s.points()
	n.remove("victim.yaml")
	s.run(s.quiet...)
	destroying := s.points()
	n.t.Logf("%d points of create, %d of destroy", len(creating), len(destroying))
	enough := s.enough(create)
	for _, p := range choose(creating, 3*create) {
		if enough() {
			break
		}
		what := fmt.Sprintf("%s killed at %s %d of create", s.who, p.call, p.n)
		n.put("victim.yaml", manifest("victim", once, s.more))
		s.kill(p)
		s.converged(what)
		n.remove("victim.yaml")
		s.cleared(what)
	}
	enough = s.enough(destroy)
	for _, p := range choose(destroying, 3*destroy) {
		if enough() {
			break
		}
		what := fmt.Sprintf("%s killed at %s %d of destroy", s.who, p.call, p.n)
		n.put("victim.yaml", manifest("victim", once, s.more))
		s.converged(what)
		n.remove("victim.yaml")
		s.kill(p)
		s.cleared(what)
	}
	n.t.Logf("%d points tried, %d kills", s.tried, s.kills)
}

// kill runs the agent with the victim killed at the point, if it comes there.
func (s *sweep) kill(p point) {
	s.tried++
	trace := s.n.path("trace")
	_ = os.Remove(trace)
	s.run("-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", p.call, p.n))
	if text, _ := os.ReadFile(trace); strings.Contains(string(text), "+++ killed by SIGKILL") {
		s.kills++
	}
	if s.spoil != nil {
		s.spoil()
	}
}

// converged notes whether the container, made to converge after the kill, has not started exactly once since the name was new.
func (s *sweep) converged(what string) {
	s.n.t.Helper()
	if starts := s.n.starts(what); starts != 1 {
		s.faults = append(s.faults, fmt.Sprintf("%s: started %d times, want once", what, starts))
	}
}

// cleared notes whether something is left after the agent has run to the end without the manifest.
func (s *sweep) cleared(what string) {
	s.n.t.Helper()
	if out, err := s.n.once("--prune", "always"); err != nil {
		s.n.t.Fatalf("%s: cannot remove afterwards: %v\n%s", what, err, out)
	}
	if left := s.n.leftovers(); left != "" {
		s.faults = append(s.faults, fmt.Sprintf("%s: left behind:\n%s", what, left))
	}
}

// enough tells, from now on, whether a sample of few points has been tried and a third as many were reached: which thread makes a call, and so which points there are,
// is another thing each time, and the more so the busier the machine is.
func (s *sweep) enough(few int) func() bool {
	tried, kills := s.tried, s.kills
	return func() bool {
		if s.spoil != nil { // to find one out is enough
			return len(s.faults) > 0
		}
		return !soak && s.tried-tried >= few && 3*(s.kills-kills) >= few
	}
}

// verdict fails the test for every fault, and when so few points were reached that it proves nothing.
func (s *sweep) verdict() {
	for _, fault := range s.faults {
		s.n.t.Error(fault)
	}
	if 8*s.kills < s.tried {
		s.n.t.Errorf("%d of %d points were reached: the sweep proves little", s.kills, s.tried)
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

// sweepAgent traces the agent and all its threads.
func sweepAgent(t *testing.T) *sweep {
	path, n := strace(t), newNode(t)
	s := &sweep{n: n, who: "agent", points: func() []point { return calls(t, n.path("trace")) }}
	s.run = func(inject ...string) {
		n.keep()
		n.prefix = append([]string{path, "-f", "-q", "-o", n.path("trace"), "-e", "trace=" + mutating}, inject...)
		_, _ = n.once("--prune", "always")
		n.prefix = nil
	}
	return s
}

// TestKillAgentAtEveryCall kills the agent at (call, n) while it creates and while it destroys.
func TestKillAgentAtEveryCall(t *testing.T) {
	s := sweepAgent(t)
	s.everywhere(25, 15)
	s.verdict()
}

// TestKillSweepCatches is the negative control: the same sweep finds out an agent that does not commit what it has created (the
// records of its instances go with it).
func TestKillSweepCatches(t *testing.T) {
	s := sweepAgent(t)
	s.spoil = func() {
		records, _ := filepath.Glob(s.n.path("run/state/victim/*/instance.json"))
		for _, record := range records {
			_ = os.Remove(record)
		}
	}
	s.everywhere(30, 0)
	if len(s.faults) == 0 {
		t.Error("the sweep has not found out an agent without records")
	}
}

// traceKeeper traces the threads of the node's keeper, not its children, and returns when strace has them all.
func (n *node) traceKeeper(path, trace string, inject ...string) (stop func()) {
	n.t.Helper()
	pids := n.keepers()
	if len(pids) != 1 {
		n.t.Fatalf("got keepers %v, want one", pids)
	}
	args := append([]string{"-q", "-o", trace, "-e", "trace=" + mutating}, inject...)
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
		defer time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() }).Stop() // one whose threads were all killed may wait for them for ever
		_ = cmd.Wait()
	}
}

// hooks are one of each kind, for a sweep.
var hooks = "  hooks:\n" + strings.ReplaceAll("    createRuntime: HOOK\n    createContainer: HOOK\n    startContainer: HOOK\n    poststart: HOOK\n    poststop: HOOK\n",
	"HOOK", `[{path: /bin/sh, args: [sh, -c, "cat >/dev/null"], env: {PATH: /bin}}]`)

// TestKillAgentAtEveryHook kills the agent while it attends to a child.
func TestKillAgentAtEveryHook(t *testing.T) {
	s := sweepAgent(t)
	s.more = hooks
	s.everywhere(12, 3)
	s.verdict()
}

// TestKillKeeperAtEveryHook kills the keeper while the agent attends to its child.
func TestKillKeeperAtEveryHook(t *testing.T) {
	s := sweepKeeper(t)
	s.more = hooks
	s.everywhere(30, 0)
	s.verdict()
}

// TestKillKeeperAtEveryCall kills the keeper at (call, n) while a container is created and while it is destroyed.
func TestKillKeeperAtEveryCall(t *testing.T) {
	s := sweepKeeper(t)
	s.everywhere(25, 10)
	s.verdict()
}

// sweepKeeper traces the keeper's threads.
func sweepKeeper(t *testing.T) *sweep {
	path, n := strace(t), newNode(t)
	s := &sweep{n: n, who: "keeper", quiet: []string{"-ff"}, points: func() []point { return n.traced() }}
	s.run = func(inject ...string) {
		n.keep()
		stop := n.traceKeeper(path, n.path("trace"), inject...)
		defer stop()
		_, _ = n.once("--prune", "always")
	}
	return s
}

// traced reads the traces that `strace -ff` left, one file a thread, as points.
func (n *node) traced() (points []point) {
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
