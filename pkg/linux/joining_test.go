package linux_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// until is a hook that lasts until the node has a file, or much longer than a test; it says that it has begun.
func (n *node) until(file string) spec.Hook {
	return script(fmt.Sprintf("echo >%[1]s.begun; i=0; while ! [ -e %[1]s ]; do i=$((i+1)); [ $i -lt 3000 ] || exit 1; sleep 0.01; done; echo >%[1]s.seen", n.path(file)))
}

// there waits until the node has a file.
func (n *node) there(t *testing.T, file string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(n.path(file)); err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// Who may look waits for who is on the way into the same pid namespace, as long as its caller does, and nobody waits for either anywhere else, nor there if
// it can be confined; hooks after the start are no part of the way.
func TestJoining(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", forever), 1)
	n.run(t, n.container("other", forever), 1)
	c := n.container("joins", forever)
	c.Spec.Namespaces.PID = "container:web"
	c.Spec.Hooks.CreateRuntime, c.Spec.Hooks.Poststart = []spec.Hook{n.until("built")}, []spec.Hook{n.until("after")}
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	started := make(chan error, 1)
	go func() { started <- n.Start(t.Context(), "joins", 1) }()
	n.there(t, "built.begun")

	looking := spec.Exec{Command: []string{"/bin/true"}, Capabilities: spec.Capabilities{Add: []string{"SYS_PTRACE"}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if s, err := n.Exec(ctx, "web", 1, looking); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside a start: %v, %v", s, err)
	}
	waiting := make(chan error, 1)
	go func() {
		s, err := n.Exec(t.Context(), "web", 1, looking)
		if err == nil {
			err = s.Close()
		}
		waiting <- err
	}()
	for _, name := range []string{"web", "other"} {
		if _, exit := n.inside(t, name, spec.Exec{Command: []string{"/bin/true"}}, ""); exit.Code != 0 {
			t.Errorf("in %s: %+v", name, exit)
		}
	}
	if _, exit := n.inside(t, "other", looking, ""); exit.Code != 0 {
		t.Errorf("in another: %+v", exit)
	}
	select {
	case err := <-waiting:
		t.Errorf("who may look did not wait: %v", err)
	default:
	}
	must(t, os.WriteFile(n.path("built"), nil, 0o600))
	n.there(t, "after.begun")
	must(t, <-waiting)
	if _, exit := n.inside(t, "web", looking, ""); exit.Code != 0 {
		t.Errorf("beside a hook: %+v", exit)
	}
	must(t, os.WriteFile(n.path("after"), nil, 0o600))
	must(t, <-started)
	n.there(t, "after.seen")
}
