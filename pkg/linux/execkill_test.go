package linux_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// agentEnv makes the test binary an agent that executes something in a container; it holds the node's configuration as JSON.
const agentEnv = "RECONCILER_TEST_AGENT"

// execBegins is what such an agent says before the one call that matters.
const execBegins = "exec begins"

// agent opens the node and executes something, all in one thread.
func agent(text string) error {
	runtime.LockOSThread()
	var config linux.Config
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	n, err := linux.Open(context.Background(), config)
	if err != nil {
		return err
	}
	fmt.Println(execBegins)
	s, err := n.Exec(context.Background(), "web", 1, spec.Exec{Command: []string{"sleep", "1000"}})
	if err != nil {
		return errors.Join(err, n.Close())
	}
	return errors.Join(s.Close(), n.Close())
}

// An agent that is killed at any of the calls of an exec leaves nothing of it: no process, no cgroup, no zombie, no descriptor of the keeper's.
func TestAgentKilledInExec(t *testing.T) {
	n := open(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("skip: needs strace")
	}
	n.run(t, n.container("web", "exec sleep 1000"), 1)
	n.inside(t, "web", command("true"), "")
	must(t, n.Close())
	n.Node = nil
	trace := n.path("trace")
	n.traced(t, strace, trace)
	points := pointsOf(t, trace)
	total := len(points)
	if os.Getenv("RECONCILER_SOAK") == "" && total > 25 {
		random := rand.New(rand.NewPCG(1, 2))
		random.Shuffle(total, func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:25]
	}
	scope := kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.path("run")}, Pids: []int{n.keeper(t)}}
	var before kerneltest.Inventory
	for last := []string{"first"}; last != nil; time.Sleep(100 * time.Millisecond) { // the keeper hears a moment later that an agent has gone
		now := kerneltest.Take(t, scope)
		last, before = kerneltest.Diff(before, now), now
	}
	kills := 0
	for _, point := range points {
		_ = os.Remove(trace)
		n.traced(t, strace, trace, "-e", "inject="+point)
		if text, _ := os.ReadFile(trace); strings.Contains(string(text), "+++ killed by SIGKILL") {
			kills++
		}
		n.reopen(t) // the next agent comes
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			left, err := filepath.Glob(filepath.Join(n.group(t, "web", 1), "exec-*"))
			must(t, err)
			others := slices.DeleteFunc(offspring(t, n.keeper(t)), func(pid string) bool { return pid == fmt.Sprint(n.look(t, "web", 1).Pid) })
			if len(left)+len(others) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("killed at %s: left are %v and children %v", point, left, others)
			}
		}
		must(t, n.Close())
		n.Node = nil
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		diff := kerneltest.Diff(before, kerneltest.Take(t, scope))
		if diff == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the agents leave:\n%s", strings.Join(diff, "\n"))
		}
	}
	n.reopen(t)
	if _, exit := n.inside(t, "web", command("true"), ""); exit.Code != 0 {
		t.Errorf("afterwards: %+v", exit)
	}
	t.Logf("%d of %d points tried, %d kills", len(points), total, kills)
	if kills < len(points)/2 {
		t.Error("too few kills")
	}
}

// traced runs an agent under strace.
func (n *node) traced(t *testing.T, strace, trace string, more ...string) {
	t.Helper()
	config, err := json.Marshal(n.config)
	must(t, err)
	cmd := exec.Command(strace, append([]string{"-f", "-qq", "-o", trace}, append(more, "/proc/self/exe")...)...)
	cmd.Args[len(cmd.Args)-1], err = os.Executable()
	must(t, err)
	cmd.Env = append(os.Environ(), agentEnv+"="+string(config))
	out, err := cmd.CombinedOutput()
	if err != nil && len(more) == 0 {
		t.Fatalf("the agent failed: %v\n%s", err, out)
	}
}

// pointsOf are the places of the exec to be killed at, as strace's inject wants them: the n-th call of a name in its thread.
func pointsOf(t *testing.T, trace string) (points []string) {
	t.Helper()
	text, err := os.ReadFile(trace)
	must(t, err)
	marker := strings.Index(string(text), execBegins)
	if marker < 0 {
		t.Fatalf("the agent has not come to its exec:\n%s", text)
	}
	line := text[strings.LastIndexByte(string(text[:marker]), '\n')+1:]
	thread, _, _ := strings.Cut(string(line), " ")
	counts, at := map[string]int{}, 0
	for line := range strings.Lines(string(text)) {
		begin := at
		at += len(line)
		who, rest, _ := strings.Cut(line, " ")
		call, _, isCall := strings.Cut(strings.TrimSpace(rest), "(")
		if who != thread || !isCall || strings.ContainsAny(call, " <+-=") {
			continue
		}
		counts[call]++
		if begin > marker && call != "exit_group" {
			points = append(points, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, counts[call]))
		}
	}
	return points
}

// offspring are the pids of the children of a process.
func offspring(t *testing.T, pid int) (pids []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	must(t, err)
	for _, file := range files {
		text, _ := os.ReadFile(file)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// Execs and pauses that race: whoever comes too late is told that the container does not run, at once, and the keeper is free for others.
func TestExecRacesPause(t *testing.T) { inBothWays(t, testExecRacesPause) }

func testExecRacesPause(t *testing.T, way spec.Capabilities) {
	n := open(t)
	n.run(t, n.with(way, "web", forever), 1)
	n.hear(t, "web", "up")
	done := make(chan error, 1)
	stop, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		for stop.Err() == nil {
			if err := n.Pause(context.Background(), "web", 1); err != nil {
				done <- err
				return
			}
			time.Sleep(time.Millisecond)
			if err := n.Resume(context.Background(), "web", 1); err != nil {
				done <- err
				return
			}
			time.Sleep(4 * time.Millisecond)
		}
	}()
	ran, late := 0, 0
	for range 60 {
		s, err := n.Exec(t.Context(), "web", 1, spec.Exec{Command: []string{"true"}})
		switch {
		case err == nil:
			ran++
			_, err = io.ReadAll(s.Stdout())
			must(t, err)
			must(t, s.Close())
		case errors.Is(err, spec.ErrNotRunning) || strings.Contains(err.Error(), "the container holds it"):
			late++
		default:
			t.Error(err)
		}
	}
	cancel()
	must(t, <-done)
	t.Logf("%d ran, %d came too late", ran, late)
	if left, _ := filepath.Glob(filepath.Join(n.group(t, "web", 1), "exec-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.keeper(t))); errors.Is(err, unix.ENOENT) {
		t.Error("the keeper is gone")
	}
}
