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
	if host.exposed(s, attributes.Capabilities) {
		return Exec{}, fmt.Errorf("processes of the container may trace those that join it (SYS_PTRACE), which until their command runs are part of the node: %w\nhint: give the container a user namespace: namespaces: {user: {mode: Auto}}", errors.ErrUnsupported)
	}
	return Exec{
		Attribute: attributes, WorkingDir: s.WorkingDir,
		User: !ids.IsZero(),
		Time: s.Namespaces.Time.Private(),
	}, nil
}

// exposed tells whether what is on its way into the container could be traced from inside. Without SYS_PTRACE the kernel refuses, because the
// keeper's memory is not dumpable; within a user namespace, because that memory belongs to the node's. See ptrace(2), "Ptrace access mode checking".
func (h *Host) exposed(s spec.ContainerSpec, caps capability.Sets) bool {
	private := s.Namespaces.User.Mode != "" && s.Namespaces.User.Mode != spec.UserHost
	return !private && caps.Bounding.Has(unix.CAP_SYS_PTRACE)
}

// Compose writes the program. The files are those of its cgroup; the caller brings those that it joins the container and talks to it by.
// The slot gets the filter's listener, if it has one.
func (e Exec) Compose(p *process.Program, group map[string]*os.File) (listener process.Slot) {
	cgroup.Enter(p, group)
	add(p, e.Steps.Entered)
	return e.Append(p)
}

// Append writes the program of a child that has entered its cgroups.
func (e Exec) Append(p *process.Program) (listener process.Slot) {
	attribute.First(p, e.Attribute)
	namespace.Enter(p)
	if e.Time {
		namespace.EnterTime(p)
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
