package start

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exec is a further process of a running container, as a value.
type Exec struct {
	Attribute attribute.Plan
	// WorkingDir is entered last; it must exist.
	WorkingDir string
	// User and Time tell that the container has a user namespace, or clocks, of its own.
	User, Time bool
	// Steps are what a starter adds: Entered and Ready.
	Steps Steps
	// Exposes tells that the process is given what the container's own has not: it may look into those that join the container after it,
	// which are to be confined.
	Exposes bool
}

// defaultTerm is what a terminal is taken for whose type nobody says.
const defaultTerm = "xterm"

// NewExec plans a further process of a defaulted container that runs with the given root. What it does not say is as the container's own
// process has it; ids are those of its user namespace, zero for none.
func NewExec(c spec.Container, e spec.Exec, root *rootfs.Root, ids mount.IDMap, host *Host) (Exec, error) {
	s := c.Spec
	s.Command, s.Env, s.Init = e.Command, maps.Clone(s.Env), false
	if s.Env == nil {
		s.Env = map[string]string{}
	}
	if e.TTY && s.Base != spec.BaseNone {
		s.Env["TERM"] = defaultTerm
	}
	maps.Copy(s.Env, e.Env)
	if e.User != "" {
		s.User = e.User
	}
	if e.WorkingDir != "" {
		s.WorkingDir = e.WorkingDir
	}
	s.TTY, s.Stdin = e.TTY, e.Stdin
	if err := checkSaid(s); err != nil {
		return Exec{}, err
	}
	if len(e.Capabilities.Bounding)+len(e.Capabilities.Effective)+len(e.Capabilities.Permitted)+len(e.Capabilities.Inheritable)+len(e.Capabilities.Ambient) > 0 {
		return Exec{}, fmt.Errorf("an exec adds and drops capabilities, it cannot set them: %w", fs.ErrInvalid)
	}
	caps := func(uid uint32) (capability.Sets, error) {
		return capability.ExecSets(c.Spec.Security.Capabilities, e.Capabilities, uid, host.capability)
	}
	c.Spec = s
	attributes, err := newAttributes(c, root, caps, ids, host)
	if err != nil {
		return Exec{}, err
	}
	attributes.Sysctls = nil // are the container's already
	own, err := capability.NewSets(c.Spec.Security.Capabilities, 0, host.capability)
	if err != nil {
		return Exec{}, err
	}
	x := Exec{Attribute: attributes, WorkingDir: s.WorkingDir, User: !ids.IsZero(), Time: s.Namespaces.Time.Private()}
	x.Exposes = !x.User && attributes.Capabilities.Bounding&lookers&^own.Bounding != 0
	if x.Time || exposed(s.Namespaces, x.User, own.Bounding) {
		return x, x.Confine()
	}
	return x, nil
}

// exposed tells whether what is on its way into a container could be looked into from inside. Without a capability for it the kernel
// refuses, because the starter's memory is not dumpable; to those of a user namespace, because that memory belongs to the node's. What
// those may whose pid namespace the container has joined is not known here.
func exposed(n spec.Namespaces, user bool, bounding capability.Set) bool {
	return !user && bounding&lookers != 0 || n.PID != "" && n.PID != spec.NamespacePrivate && n.PID != spec.NamespaceHost
}

// Confine has the process born inside when nothing of its starter is left in it, see process.Program.Reborn. It is slower, and for a
// moment there are two processes. The kernel cuts some scheduling at a birth: errors.ErrUnsupported.
func (e *Exec) Confine() error {
	if s := e.Attribute.Scheduler; s.Policy == unix.SCHED_DEADLINE || s.Flags&unix.SCHED_FLAG_RESET_ON_FORK != 0 {
		return fmt.Errorf("processes of the container may look into those that join it, or it has clocks of its own, and its scheduler's policy or flags are not for children: %w", errors.ErrUnsupported)
	}
	e.Attribute.Reborn = true
	return nil
}

// execOps is about how many calls an exec takes.
const execOps = 112

// Compose writes the program. The files are those of its cgroup; the caller brings those that it joins the container and talks to it by.
// The slot gets the filter's listener, if it has one.
func (e Exec) Compose(p *process.Program, group map[string]*os.File) (listener process.Slot) {
	p.Ops = slices.Grow(p.Ops, execOps)
	cgroup.Enter(p, group)
	add(p, e.Steps.Entered)
	return e.Append(p)
}

// Append writes the program of a child that has entered its cgroups.
func (e Exec) Append(p *process.Program) (listener process.Slot) {
	attribute.First(p, e.Attribute)
	if e.Attribute.Reborn {
		namespace.EnterParked(p, e.Time)
	} else {
		namespace.Enter(p)
	}
	mount.EnterDir(p, e.WorkingDir)
	attribute.Early(p, e.Attribute)
	var join func(*process.Program)
	if e.User {
		join = namespace.EnterUser
	}
	e.Attribute.Ready = e.Steps.Ready
	return attribute.Late(p, e.Attribute, join)
}

// Missing tells by an error of a start or exec that its command was not found, or could not be executed: 127 and 126 to a shell.
func Missing(err *process.Error) bool {
	return err.Exec && slices.Contains([]unix.Errno{unix.ENOENT, unix.ENOTDIR}, err.Errno)
}
