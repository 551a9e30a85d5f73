package linux

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exec starts a further process in a running instance; see reconcile.Node.
func (n *Node) Exec(ctx context.Context, name string, id uint64, e spec.Exec) (_ spec.Session, err error) {
	defer func() { err = about("exec in", name, err) }()
	in, err := n.known(name, id)
	if err != nil {
		return nil, err
	}
	if in.Phase != spec.InstanceRunning {
		return nil, fmt.Errorf("instance %d is %s: %w", id, in.Phase, spec.ErrNotRunning)
	}
	target, err := n.target(name, id)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	full := spec.Defaulted(in.Spec, in.Defaults)
	if full.Spec.Env, err = n.configEnv(full.Spec, in); err != nil {
		return nil, err
	}
	plan, err := start.NewExec(full, e, target.Root, target.IDs, n.host)
	if err != nil {
		return nil, err
	}
	stdio, err := newStdio(e, target)
	if err != nil {
		return nil, err
	}
	done, err := n.join(ctx, name, id, target, &plan)
	if err != nil {
		return nil, errors.Join(err, stdio.close())
	}
	s, err := n.exec(ctx, in, e, plan, target, stdio)
	done()
	if err != nil {
		return nil, errors.Join(n.held(name, id, err), stdio.close())
	}
	return s, nil
}

// exec has the keeper start the process. What is left of a failure is the caller's stdio.
func (n *Node) exec(ctx context.Context, in spec.Instance, e spec.Exec, plan start.Exec, target *start.Target, stdio *stdio) (*session, error) {
	further, err := n.further(ctx, in, e.Detach, plan, target, stdio.theirs)
	if err != nil {
		return nil, err
	}
	stdio.handOver()
	return &session{further: further, stdio: stdio, detached: e.Detach}, nil
}

// further has the keeper start a further process with these files, which stay the caller's.
func (n *Node) further(ctx context.Context, in spec.Instance, detach bool, plan start.Exec, target *start.Target, stdio map[string]*os.File) (_ *keeper.Exec, err error) {
	group, err := n.group(in.Name, in.ID)
	if err != nil {
		return nil, err
	}
	prefix := keeper.ExecPrefix
	if detach {
		prefix = keeper.DetachedPrefix
	}
	files, path, err := group.ExecFiles(prefix + rand.Text())
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	defer func() {
		if err != nil {
			_ = unix.Rmdir(path) // unless the keeper has
		}
	}()
	attendance, err := n.attendExec(in, path, &plan)
	if err != nil {
		return nil, err
	}
	defer attendance.close()
	request := keeper.ExecRequest{Key: keeper.Key{Name: in.Name, Instance: in.ID}, Cgroup: path, Detach: detach}
	plan.Compose(&request.Program, files)
	request.Files = n.host.Lend(files)
	maps.Copy(request.Files, target.Files(plan))
	maps.Copy(request.Files, stdio)
	maps.Copy(request.Files, attendance.files())
	var further *keeper.Exec
	err = attendance.during(ctx, func() (err error) {
		further, err = n.keeper.Exec(ctx, request)
		return err
	})
	return further, err
}

// held says of an exec that did not get into a container that was paused meanwhile what it would have been told a moment later.
func (n *Node) held(name string, id uint64, failed error) error {
	if !errors.Is(failed, keeper.ErrHeld) {
		return failed
	}
	if in, err := n.known(name, id); err == nil && in.Phase != spec.InstanceRunning {
		return fmt.Errorf("instance %d is %s: %w: %w", id, in.Phase, spec.ErrNotRunning, failed)
	}
	return failed
}

// tidyExecs removes the cgroups of execs that an agent was killed in the middle of, before the keeper knew of them.
func (n *Node) tidyExecs() error {
	return n.each(func(name string, id uint64) error {
		group, err := n.group(name, id)
		if err != nil {
			return err
		}
		entries, _ := os.ReadDir(group.Path())
		for _, entry := range entries {
			if isExec(entry.Name()) {
				_ = unix.Rmdir(filepath.Join(group.Path(), entry.Name())) // one with a process stays
			}
		}
		for _, prefix := range []string{keeper.AsidePrefix, keeper.FeedPrefix} {
			beside, _ := filepath.Glob(filepath.Join(filepath.Dir(group.Path()), prefix+"*"))
			for _, dir := range beside {
				_ = unix.Rmdir(dir)
			}
		}
		return nil
	})
}

// target opens process 1 of an instance. A stranger that has its number now is ESRCH.
func (n *Node) target(name string, id uint64) (*start.Target, error) {
	var started keeper.Started
	if err := n.readJSON(name, id, keeper.StartFile, &started); err != nil {
		return nil, err
	}
	pidfd, err := process.OpenVerified(started.Pid, started.StartTime)
	if err != nil {
		return nil, err
	}
	t, err := start.OpenTarget(started.Pid, pidfd)
	if err != nil {
		_ = pidfd.Close()
	}
	return t, err
}

// stdio are the two sides of a further process's input and output.
type stdio struct {
	ours   [3]*os.File // of 0 to 2; with a terminal its master is the first and the others are nil
	tty    bool
	theirs map[string]*os.File // by their names in a program
}

// newStdio makes the pipes, or opens a terminal of the container's own.
func newStdio(e spec.Exec, target *start.Target) (_ *stdio, err error) {
	s := &stdio{tty: e.TTY, theirs: map[string]*os.File{}}
	defer func() {
		if err != nil {
			s.handOver()
			err = errors.Join(err, s.close())
		}
	}()
	if e.TTY {
		s.ours[0], s.theirs[attribute.FileTerminal], err = mount.OpenTerminal(target.Root, e.Size)
		return s, err
	}
	for i, name := range []string{attribute.FileStdin, attribute.FileStdout, attribute.FileStderr} {
		switch {
		case name == attribute.FileStdin && !e.Stdin:
		case e.Detach:
			s.theirs[name], err = mount.NewNull()
		case name == attribute.FileStdin:
			s.theirs[name], s.ours[i], err = process.Pipe(1)
		default:
			s.ours[i], s.theirs[name], err = process.Pipe(0)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// handOver closes the container's side, once it has it.
func (s *stdio) handOver() {
	closeAll(s.theirs)
	s.theirs = nil
}

func (s *stdio) close() error {
	s.handOver()
	var errs []error
	for _, f := range s.ours {
		if f == nil {
			continue
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) { // the user of the session may have closed its input
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
