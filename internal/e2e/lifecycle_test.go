package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const forever = "trap 'exit 0' TERM; echo up; while :; do sleep 0.2; done"

// TestLifecycle is a container's life: dropped, edited live, edited for replacement, killed by hand, paused, stopped, removed.
func TestLifecycle(t *testing.T) {
	n := newNode(t)
	n.start()
	n.put("web.yaml", manifest("web", forever, "  resources: {memory: {max: 64Mi}}\n"))
	first := n.phase("web", spec.PhaseRunning)

	n.put("web.yaml", manifest("web", forever, "  resources: {memory: {max: 128Mi}}\n"))
	n.eventually("memory.max is 128Mi", func() error {
		object, err := n.get("web")
		if err == nil && object.Status.Container.Resources.Memory.Max != spec.NewLimit(128<<20) {
			err = fmt.Errorf("resources %+v", object.Status.Container.Resources)
		}
		return err
	})
	second := n.phase("web", spec.PhaseRunning)
	if second.Status.Container.Pid != first.Status.Container.Pid {
		t.Errorf("a live change restarted the process: pid %d, then %d", first.Status.Container.Pid, second.Status.Container.Pid)
	}

	if err := unix.Kill(second.Status.Container.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.eventually("the killed container runs again", func() error {
		object, err := n.get("web")
		if err == nil && (object.Status.Container.Pid == second.Status.Container.Pid || object.Status.Phase != spec.PhaseRunning) {
			err = fmt.Errorf("status %+v", object.Status)
		}
		return err
	})
	killed := n.phase("web", spec.PhaseRunning)
	if exit := killed.Status.Container.LastExit; killed.Status.Container.RestartCount != 1 || exit == nil || exit.Signal != "SIGKILL" || exit.Code != 137 {
		t.Errorf("got %d restarts and exit %+v, want 1 and SIGKILL", killed.Status.Container.RestartCount, exit)
	}

	n.put("web.yaml", manifest("web", forever+" # changed", "  resources: {memory: {max: 128Mi}}\n"))
	n.eventually("the container is replaced", func() error {
		object, err := n.get("web")
		if err == nil && (object.Status.Container.Instance == first.Status.Container.Instance || object.Status.Phase != spec.PhaseRunning) {
			err = fmt.Errorf("status %+v", object.Status)
		}
		return err
	})
	if out, err := n.cli("events", "web"); err != nil || !strings.Contains(out, "command") {
		t.Errorf("events do not name the field that led to the replacement: %v\n%s", err, out)
	}

	n.put("web.yaml", manifest("web", forever+" # changed", "  state: Paused\n"))
	n.phase("web", spec.PhasePaused)
	n.put("web.yaml", manifest("web", forever+" # changed"))
	n.phase("web", spec.PhaseRunning)
	n.eventually("the trap is set", func() error {
		if log := n.logs("web"); strings.Count(log, "up\n") != 3 {
			return fmt.Errorf("logs %q", log)
		}
		return nil
	})
	n.put("web.yaml", manifest("web", forever+" # changed", "  state: Stopped\n"))
	stopped := n.phase("web", spec.PhaseStopped)
	if exit := stopped.Status.Container.LastExit; exit == nil || exit.Code != 0 {
		t.Errorf("got exit %+v, want the code 0 of the TERM trap", exit)
	}
	n.remove("web.yaml")
	n.gone("web")
	if left := n.leftovers(); left != "" {
		t.Errorf("left behind by the removed container:\n%s", left)
	}
}

// gone waits until the node knows nothing of the container.
func (n *node) gone(name string) {
	n.t.Helper()
	n.eventually(name+" is gone", func() error {
		if object, err := n.get(name); err == nil {
			return fmt.Errorf("phase %s, pending %v, conditions %+v", object.Status.Phase, object.Status.Pending, object.Status.Conditions)
		}
		if left := n.leftovers(); strings.Contains(left, "/"+name) {
			return fmt.Errorf("left: %s", left)
		}
		return nil
	})
}
