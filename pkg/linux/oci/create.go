package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
)

// Options are how a container is made, beside what its configuration says.
type Options struct {
	// Stdio are descriptors 0 to 2 of a container without a terminal.
	Stdio [3]*os.File
	// ConsoleSocket is the path of a unix socket that gets the master of the container's terminal.
	ConsoleSocket string
	// PidFile gets the first process's number, PidfdSocket, a unix socket, its pidfd.
	PidFile, PidfdSocket string
	// NoPivot changes the root by chroot(2), for nodes that run from their initial file system.
	NoPivot bool
	// NoNewKeyring leaves the container with the caller's session keyring.
	NoNewKeyring bool
	// ExtraFiles are descriptors 3 and on; they stay the caller's, as Stdio does. Env is added to the container's environment.
	ExtraFiles []*os.File
	Env        map[string]string
	// NotifySocket is the caller's NOTIFY_SOCKET, see sd_notify(3); "" for none.
	NotifySocket string
}

// Create makes a container that waits to be started: everything but its command is in place. A failure leaves nothing.
func (r *Runtime) Create(ctx context.Context, id, bundle string, o Options) error {
	m, err := r.begin(ctx, id, bundle, o)
	if err != nil {
		return err
	}
	defer m.close()
	if err = handed(m.t.Container.Spec.TTY, true, o.ConsoleSocket); err == nil {
		m.lasting = true
		err = m.make(ctx)
	}
	m.tell()
	if err != nil {
		return m.undo(ctx, err)
	}
	return nil
}

// making is a container that is being made.
type making struct {
	*Runtime
	Options
	dir     *directory
	rec     record
	t       Translation
	lasting bool // it waits for Start, by another process
	imaged  bool // an image has its processes, and most of its namespaces

	host    *start.Host
	group   *cgroup.Group
	plan    start.Plan
	program process.Program
	files   start.Files
	own     map[string]*os.File // files of the program that are ours to close
	joined  map[string]*os.File // namespaces, ours to close as well
	doors   *start.Doors
	child   *process.Parked
	born    bool     // there was a child
	master  *os.File // of the terminal, for who runs it in the foreground
}

// begin reads the configuration and claims the id.
func (r *Runtime) begin(ctx context.Context, id, bundle string, o Options) (*making, error) {
	bundle, err := filepath.Abs(bundle)
	if err != nil {
		return nil, err
	}
	dir, err := r.claim(id)
	if err != nil {
		return nil, err
	}
	m := &making{Runtime: r, Options: o, dir: dir}
	m.rec = record{Schema: recordSchema, ID: id, Bundle: bundle, Created: time.Now().Round(0).UTC()}
	if err := m.prepare(); err != nil {
		return nil, m.undo(ctx, err)
	}
	return m, nil
}

// prepare knows all that is to be known without making anything, and writes it down.
func (m *making) prepare() error {
	config, text, err := ReadConfig(m.rec.Bundle)
	if err != nil {
		return err
	}
	if m.t, err = Translate(config, m.rec.Bundle); err != nil {
		return fmt.Errorf("cannot use %s: %w", filepath.Join(m.rec.Bundle, ConfigFile), err)
	}
	m.warn(m.t.Warnings)
	m.rec.Rootfs, m.rec.Annotations, m.rec.Command = m.t.Container.Spec.Rootfs.Path, m.t.Annotations, m.t.Container.Spec.Command[0]
	for _, kind := range m.t.kinds() {
		if len(kind.hooks) > 0 {
			m.rec.Hooks = append(m.rec.Hooks, kind.name)
		}
	}
	if !m.t.Container.Spec.TTY {
		m.rec.Stdio = streamsOf(m.Stdio)
	}
	if m.rec.BootID, err = process.BootID(); err != nil {
		return err
	}
	if m.rec.Cgroup, m.rec.Scope, err = m.place(m.rec.ID, m.t); err != nil {
		return err
	}
	if m.group, err = m.Runtime.group(m.rec); err != nil {
		return err
	}
	m.rec.Found = m.group.Exists()
	return errors.Join(statefile.Replace(m.dir.file(ConfigFile), text, 0o600, false), m.dir.writeJSON(stateFile, m.rec))
}

func (r *Runtime) warn(warnings []string) {
	for _, w := range warnings {
		r.Log.Info(w)
	}
}

// make makes the cgroup and the child, and has it build everything up to its last steps.
func (m *making) make(ctx context.Context) (err error) {
	if err := m.enclose(); err != nil {
		return err
	}
	if err := m.compose(); err != nil { // looks for the cgroups
		return err
	}
	if err := m.open(); err != nil {
		return err
	}
	if err := start.CheckJoin(m.joined[namespace.FilePID]); err != nil {
		return err
	}
	if m.child, err = process.StartParked(&m.program, m.all()); err != nil {
		return readable(err, m.plan.Attribute.Argv)
	}
	m.born = true
	m.doors.HandOver()
	m.rec.Pid = m.child.Pid
	if m.rec.StartTime, err = process.StartTime(m.rec.Pid); err != nil {
		return errors.Join(err, m.failure(ctx))
	}
	if err := m.dir.writeJSON(stateFile, m.rec); err != nil {
		return err
	}
	if err := m.accompany(ctx); err != nil {
		return readable(err, m.plan.Attribute.Argv)
	}
	if !m.lasting {
		return nil
	}
	return m.made()
}

// made tells everybody that the container is there.
func (m *making) made() error {
	if m.PidfdSocket != "" {
		if err := sendFile(m.PidfdSocket, m.child.Pidfd, "pidfd"); err != nil {
			return err
		}
	}
	if m.PidFile != "" {
		if err := statefile.Replace(m.PidFile, fmt.Append(nil, m.rec.Pid), 0o644, false); err != nil {
			return fmt.Errorf("cannot write the pid file: %w", err)
		}
	}
	m.rec.Made = true
	return m.dir.writeJSON(stateFile, m.rec)
}

// tell logs each system call of the start, with what the kernel has answered so far, for who debugs.
func (m *making) tell() {
	log := m.Log.V(1)
	if m.child == nil || !log.Enabled() {
		return
	}
	for line := range strings.Lines(m.child.String()) {
		log.Info(strings.TrimSuffix(line, "\n"))
	}
}

// undo takes back what was made, because of an error.
func (m *making) undo(ctx context.Context, why error) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if m.child != nil {
		errs = append(errs, m.child.Abandon())
	}
	if m.group != nil {
		errs = append(errs, m.dismantle(ctx, m.rec, m.group))
	}
	if m.born {
		errs = append(errs, m.poststop(ctx))
	}
	errs = append(errs, m.dir.remove())
	m.close()
	return errors.Join(append([]error{why}, errs...)...)
}

// poststop runs the hooks of a container that is gone.
func (m *making) poststop(ctx context.Context) error {
	return onNode(ctx, "poststop", m.t.Container.Spec.Hooks.Poststop, m.rec, hook.Stopped)
}

// close frees what only this process has of it.
func (m *making) close() {
	m.doors.Close()
	for _, files := range []map[string]*os.File{m.own, m.joined} {
		for _, f := range files {
			_ = f.Close()
		}
	}
	_ = m.files.Close()
	_ = m.host.Close()
	if m.group != nil {
		_ = m.group.Close()
	}
	if m.child != nil {
		_ = m.child.Close()
		_ = m.child.Pidfd.Close()
	}
	m.dir.close()
}
