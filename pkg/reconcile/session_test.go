package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// talkative is a node in memory that has sessions: exec says what comes of a start.
type talkative struct {
	reconcile.Node
	exec func(ctx context.Context, name string, id uint64, e spec.Exec) (spec.Session, error)
}

func (n *talkative) Exec(ctx context.Context, name string, id uint64, e spec.Exec) (spec.Session, error) {
	return n.exec(ctx, name, id, e)
}

func (n *talkative) Attach(ctx context.Context, name string, id uint64) (spec.Session, error) {
	return n.exec(ctx, name, id, spec.Exec{})
}

// quiet is a session that somebody else has closed.
type quiet struct{ spec.Session }

// failedStep is an error of a step, as the kernel's node has them.
type failedStep struct {
	syscall.Errno
	command bool
}

func (f failedStep) OfCommand() bool { return f.command }
func (f failedStep) Unwrap() error   { return f.Errno }

// withSessions plays with an agent, its machine and its node while containers a, b and c run.
func withSessions(t *testing.T, play func(t *testing.T, agent *reconcile.Agent, machine *simnode.Machine, node *talkative)) {
	synctest.Test(t, func(t *testing.T) {
		machine, folder := simnode.New(), simnode.NewFolder("main")
		for _, name := range []string{"a", "b", "c"} {
			folder.Put(name+".yaml", fmt.Sprintf(someManifest, name))
		}
		under := machine.Attach(nil, func() {})
		node := &talkative{Node: under, exec: func(context.Context, string, uint64, spec.Exec) (spec.Session, error) { return quiet{}, nil }}
		agent, err := reconcile.New(reconcile.Config{Node: node, Store: simnode.NewDisk().Store(under), Sources: []reconcile.Source{folder}, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- agent.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		play(t, agent, machine, node)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The plan of a node waits for no name that is busy: of one with a verb under way it is that, since when, and of one whose turn others have what its status says.
func TestPlanWhileBusy(t *testing.T) {
	withSessions(t, func(t *testing.T, agent *reconcile.Agent, machine *simnode.Machine, node *talkative) {
		if err := agent.Override(t.Context(), "c", spec.Override{State: spec.StateStopped}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		machine.Slow(time.Hour)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = agent.Checkpoint(ctx, "a", spec.CheckpointOptions{}) }()
		over := make(chan struct{})
		node.exec = func(context.Context, string, uint64, spec.Exec) (spec.Session, error) {
			<-over
			return nil, syscall.EIO
		}
		go func() { _, _ = agent.Exec(ctx, "b", ls) }()
		synctest.Wait()
		asked := time.Now()
		plan, err := agent.Plan(t.Context())
		if err != nil || len(plan.Actions) != 1 || plan.Actions[0].Name != "a" || plan.Actions[0].Verb != reconcile.VerbCheckpoint ||
			!strings.HasSuffix(plan.Actions[0].Cause, "; under way since "+began.Format(time.DateTime)) {
			t.Errorf("got %+v, %v", plan.Actions, err)
		}
		if took := time.Since(asked); took > 2*time.Second { // of the clock in the bubble
			t.Errorf("it took %v", took)
		}
		cancel()
		close(over)
		synctest.Wait()
	})
}

var ls = spec.Exec{Command: []string{"/bin/ls", "--password=secret"}}

// An exec goes to the instance that runs, and its event tells the program and no argument.
func TestExec(t *testing.T) {
	withSessions(t, func(t *testing.T, agent *reconcile.Agent, _ *simnode.Machine, node *talkative) {
		var asked string
		var during context.Context
		node.exec = func(ctx context.Context, name string, id uint64, e spec.Exec) (spec.Session, error) {
			asked, during = fmt.Sprintf("%s/%d %v", name, id, e.Command), ctx
			return quiet{}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		session, err := agent.Exec(ctx, "a", ls)
		if err != nil || session != (quiet{}) || asked != "a/1 [/bin/ls --password=secret]" {
			t.Errorf("got %v, %v, asked for %s", session, err, asked)
		}
		cancel()
		time.Sleep(time.Hour)
		if during.Err() != nil {
			t.Error("the context of the start has ended while the session goes on")
		}
		if _, err := agent.Attach(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		long := spec.Exec{Command: []string{"/" + strings.Repeat("x", 10_000)}}
		if _, err := agent.Exec(t.Context(), "a", long); err != nil {
			t.Error(err)
		}
		var told []string
		for _, e := range agent.Events("a", 0) {
			if e.Reason == "Exec" || e.Reason == "Attached" {
				told = append(told, e.Reason+" "+e.Message)
			}
		}
		if len(told) != 3 || told[0] != "Exec ls" || told[1] != "Attached " || len(told[2]) > 100 {
			t.Errorf("told %q", told)
		}
	})
}

// What cannot be is refused, each in its class and with what helps, and no event tells of it.
func TestExecRefusals(t *testing.T) {
	withSessions(t, func(t *testing.T, agent *reconcile.Agent, machine *simnode.Machine, node *talkative) {
		ctx := t.Context()
		for name, state := range map[string]spec.State{"b": spec.StatePaused, "c": spec.StateStopped} {
			if err := agent.Override(ctx, name, spec.Override{State: state}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		failing := func(err error) error {
			node.exec = func(context.Context, string, uint64, spec.Exec) (spec.Session, error) {
				return nil, fmt.Errorf("cannot exec in %q: %w", "a", err)
			}
			_, err = agent.Exec(ctx, "a", ls)
			return err
		}
		run := func(name string, e spec.Exec) error {
			_, err := agent.Exec(ctx, name, e)
			return err
		}
		for what, c := range map[string]struct {
			err, want error
			text      string
		}{
			"nobody":         {run("nobody", ls), fs.ErrNotExist, "nobody"},
			"no command":     {run("a", spec.Exec{}), fs.ErrInvalid, "command: "},
			"paused":         {run("b", ls), spec.ErrNotRunning, "\"b\" is paused\nhint: reconciler resume b"},
			"stopped":        {run("c", ls), spec.ErrNotRunning, "\"c\" does not run\nhint: "},
			"paused since":   {failing(spec.ErrNotRunning), spec.ErrNotRunning, "cannot exec in"},
			"no program":     {failing(failedStep{syscall.ENOENT, true}), spec.ErrCommandNotFound, "no such file"},
			"no executable":  {failing(failedStep{syscall.EACCES, true}), spec.ErrCommandNotExecutable, "permission denied"},
			"no directory":   {failing(failedStep{syscall.ENOENT, false}), fs.ErrNotExist, "no such file"},
			"gone meanwhile": {failing(fs.ErrNotExist), fs.ErrNotExist, "cannot exec in"},
		} {
			if !errors.Is(c.err, c.want) || !strings.Contains(c.err.Error(), c.text) {
				t.Errorf("%s: got %v, want %v with %q", what, c.err, c.want, c.text)
			}
			if what == "no program" && errors.Is(c.err, fs.ErrNotExist) {
				t.Error("a missing program is taken for a missing container")
			}
		}
		for _, e := range agent.Events("", 0) {
			if e.Reason == "Exec" {
				t.Errorf("an event tells of an exec that never was: %+v", e)
			}
		}
		if _, err := agent.Attach(ctx, "c"); !errors.Is(err, spec.ErrNotRunning) {
			t.Errorf("attach to a stopped one: %v", err)
		}
		node.exec = func(context.Context, string, uint64, spec.Exec) (spec.Session, error) { return quiet{}, nil }
		if _, err := agent.Attach(ctx, "b"); err != nil {
			t.Errorf("attach to a paused one: %v", err)
		}
	})
}

// A start that takes long holds up its own name only, and not for ever.
func TestExecHangs(t *testing.T) {
	withSessions(t, func(t *testing.T, agent *reconcile.Agent, machine *simnode.Machine, node *talkative) {
		node.exec = func(ctx context.Context, _ string, _ uint64, _ spec.Exec) (spec.Session, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		done := make(chan error)
		go func() {
			_, err := agent.Exec(t.Context(), "a", ls)
			done <- err
		}()
		synctest.Wait()
		machine.Crash("a", 1)
		machine.Crash("b", 1)
		time.Sleep(time.Second)
		restarts := func(name string) int {
			o, err := agent.Object(name)
			if err != nil {
				t.Fatal(err)
			}
			return o.Status.Container.RestartCount
		}
		if restarts("a") != 0 || restarts("b") != 1 {
			t.Errorf("restarts while a start hangs: %d of its name, %d of another", restarts("a"), restarts("b"))
		}
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a start that hangs: %v", err)
		}
		time.Sleep(time.Second)
		if restarts("a") != 1 {
			t.Error("the name is still held up")
		}
	})
}
