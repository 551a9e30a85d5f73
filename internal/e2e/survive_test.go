package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// soak tells whether the long campaign runs rather than the sample.
var soak = os.Getenv("RECONCILER_SOAK") != ""

func sample(few, all int) int {
	if soak {
		return all
	}
	return few
}

// talkers drops count containers that print numbered lines for ever, and a fifth as many that end with a known code.
func talkers(n *node, count int) (running, ending []string) {
	for i := range count {
		if i%5 == 4 {
			name := fmt.Sprintf("ending-%d", i)
			n.put(name+".yaml", manifest(name, fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; sleep 0.1; done; exit %d", 10+i, i),
				"  restart: {policy: Never}\n"))
			ending = append(ending, name)
			continue
		}
		name := fmt.Sprintf("talker-%d", i)
		n.put(name+".yaml", manifest(name, "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"))
		running = append(running, name)
	}
	return running, ending
}

// consecutive checks that the lines are 1, 2, 3... without a gap or a repetition, and returns how many there are.
func consecutive(t *testing.T, name, log string) int {
	t.Helper()
	lines := 0
	for line := range strings.Lines(log) {
		lines++
		if want := fmt.Sprintf("line %d\n", lines); line != want {
			t.Errorf("%s: got %q, want %q", name, line, want)
			break
		}
	}
	return lines
}

// survive kills with kill again and again while talkers talk, and checks that none noticed.
func survive(t *testing.T, count, rounds int, kill func(n *node)) {
	n := newNode(t)
	n.start()
	running, ending := talkers(n, count)
	before := map[string]spec.Object{}
	for _, name := range running {
		before[name] = n.phase(name, spec.PhaseRunning)
	}
	for range rounds {
		kill(n)
	}
	for _, name := range running {
		after := n.phase(name, spec.PhaseRunning)
		was := before[name].Status.Container
		if now := after.Status.Container; now.Pid != was.Pid || now.RestartCount != was.RestartCount || now.Instance != was.Instance {
			t.Errorf("%s: got pid %d, instance %d, %d restarts; before the kills %d, %d, %d", name, now.Pid, now.Instance, now.RestartCount, was.Pid, was.Instance, was.RestartCount)
		}
	}
	for _, name := range ending {
		var code int
		fmt.Sscanf(name, "ending-%d", &code)
		object := n.phase(name, spec.PhaseFailed)
		if exit := object.Status.Container.LastExit; exit == nil || (exit.Code != code && exit.Reason != spec.ExitUnknown) {
			t.Errorf("%s: got exit %+v, want code %d", name, exit, code)
		} else if lines := consecutive(t, name, n.logs(name)); exit.Reason != spec.ExitUnknown && lines != 10+code && !n.endedUnkept(name) {
			t.Errorf("%s: got %d lines, want %d", name, lines, 10+code)
		}
	}
	lines := map[string]int{}
	for _, name := range running {
		lines[name] = consecutive(t, name, n.logs(name))
	}
	for _, name := range running {
		n.eventually(name+" talks on", func() error {
			if now := consecutive(t, name, n.logs(name)); now <= lines[name] {
				return fmt.Errorf("%d lines, as before", now)
			}
			return nil
		})
	}
}

// endedUnkept tells whether a keeper found a container ended when it came: what that had written and nobody had read is gone with it.
func (n *node) endedUnkept(name string) bool {
	text, _ := os.ReadFile(n.path("run/state/keeper.log"))
	return strings.Contains(string(text), fmt.Sprintf(`ended while no keeper ran","name":%q`, name))
}

// TestAgentKilled: the agent dies with SIGKILL again and again; no container restarts, blocks, loses or repeats a line, and exit codes are exact.
func TestAgentKilled(t *testing.T) {
	survive(t, sample(50, 50), sample(50, 500), func(n *node) {
		n.signal(syscall.SIGKILL)
		n.start()
	})
}

// TestKeeperKilled: the keeper dies; the agent starts another, which adopts.
func TestKeeperKilled(t *testing.T) {
	survive(t, 10, sample(10, 100), func(n *node) {
		killed := n.killKeeper()
		n.eventually("a new keeper runs", func() error {
			if pids := n.keepers(); len(pids) != 1 || pids[0] == killed {
				return fmt.Errorf("keepers %v", pids)
			}
			return nil
		})
	})
}

// TestBothKilled: both die at once.
func TestBothKilled(t *testing.T) {
	survive(t, 10, sample(5, 100), func(n *node) {
		n.killKeeper()
		n.signal(syscall.SIGKILL)
		n.start()
	})
}
