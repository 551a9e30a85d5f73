package oci

import (
	"context"
	"errors"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Running is a container that this process runs.
type Running struct {
	runtime *Runtime
	id      string
	// Process is its first one, for the caller to reap. Master is its terminal, nil if it has none or somebody else got it.
	Process process.Process
	Master  *os.File
}

// Run makes a container and starts it. It is the caller's to reap, and to delete. A terminal needs detach to be false or a console socket.
func (r *Runtime) Run(ctx context.Context, id, bundle string, detach bool, o Options) (*Running, error) {
	m, err := r.begin(ctx, id, bundle, o)
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err = handed(m.t.Container.Spec.TTY, detach, o.ConsoleSocket); err == nil {
		err = m.run(ctx)
	}
	m.tell()
	if err != nil {
		return nil, m.undo(ctx, err)
	}
	running := &Running{r, id, m.child.Process, m.master}
	m.keepRunning()
	return running, nil
}

// run has the child execute its command.
func (m *making) run(ctx context.Context) error {
	if err := m.make(ctx); err != nil {
		return err
	}
	notifier, err := m.dir.listen(m.NotifySocket)
	if err != nil {
		return err
	}
	defer notifier.close()
	if err := m.child.Wait(ctx); err != nil {
		return readable(err, m.plan.Attribute.Argv)
	}
	if err := m.made(); err != nil {
		return err
	}
	if err := onNode(ctx, "poststart", m.t.Container.Spec.Hooks.Poststart, m.rec, hook.Running); err != nil {
		return err
	}
	return notifier.wait(ctx, m.rec)
}

// keepRunning leaves the caller the process and the terminal.
func (m *making) keepRunning() {
	_ = m.child.Close()
	m.child = nil
	if m.master != nil {
		m.files.Console = nil
	}
}

// Wait waits for the first process and reaps it.
func (c *Running) Wait() (process.Exit, error) {
	exit, err := process.Reap(c.Process.Pidfd)
	return exit, errors.Join(err, c.Process.Pidfd.Close())
}

// Delete removes the container.
func (c *Running) Delete(ctx context.Context) error { return c.runtime.Delete(ctx, c.id, true) }
