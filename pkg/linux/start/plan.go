// Package start composes a start: a container's words become one program, the files it names, and nothing else yet. It
// knows the order of the parts; it refuses to know who runs the program, who keeps the container and where it is recorded, so
// that manifests, library and OCI command line share it.
//
//	spec.Container ──NewPlan──> Plan ──Compose──> process.Program + Files ──> whoever runs it
//	   (defaulted)   │           │
//	                 │           └ a value of the parts' own: namespace, mount, attribute
//	                 └ looks at the rootfs and at what Host has to give; changes nothing
//
// A further process goes the same way: spec.Exec, NewExec, Exec.Compose.
package start

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Plan is a start as a value: what each package will write into the program.
type Plan struct {
	Namespace namespace.Plan
	Mount     mount.Plan
	Attribute attribute.Plan
	Steps     Steps
}

// Steps are what a starter adds to the program in between; nil adds nothing. What waits for somebody parks first.
type Steps struct {
	// Entered comes when the child is in its cgroups and nothing else is done, Joined when it is in its namespaces, but for that of users.
	Entered, Joined func(*process.Program)
	// Built comes when the container's tree is complete and / still the node's.
	Built func(*process.Program)
	// Ready comes when all is done: see attribute.Plan.
	Ready func(p *process.Program, listener process.Slot)
}

// NewPlan plans a start of a defaulted container, of which the caller knows the first of the facts. It changes nothing; what the
// container asks for and this node, or the rootfs, cannot give is an error that names it.
func NewPlan(c spec.Container, facts mount.Facts, host *Host) (Plan, error) {
	if err := checkSaid(c.Spec); err != nil {
		return Plan{}, err
	}
	nodes, err := devices(c.Spec.Devices)
	if err != nil {
		return Plan{}, err
	}
	facts.Devices = append(facts.Devices, nodes...)
	facts, err = mount.Look(c, facts)
	if err != nil {
		return Plan{}, err
	}
	tree, err := mount.NewPlan(c, facts)
	if err != nil {
		return Plan{}, err
	}
	root, err := rootfs.Open(c.Spec.Rootfs.Path)
	if err != nil {
		return Plan{}, err
	}
	defer root.Close()
	caps := func(uid uint32) (capability.Sets, error) {
		return capability.NewSets(c.Spec.Security.Capabilities, uid, host.capability)
	}
	attributes, err := newAttributes(c, root, caps, facts.IDs, host)
	if err != nil {
		return Plan{}, err
	}
	if c.Spec.Checkpoints() {
		attributes.Reopen = tree.ConsolePath()
	}
	attributes.Watched = exposed(c.Spec.Namespaces, !facts.IDs.IsZero(), attributes.Capabilities.Bounding)
	names := namespace.NewPlan(c.Spec)
	if names.Clocks, err = namespace.NewClocks(c.Spec.Namespaces.Time, host.capability); err != nil {
		return Plan{}, err
	}
	return Plan{Namespace: names, Mount: tree, Attribute: attributes}, nil
}

// Files are what a program of Compose names: the caller's to close, even after an error.
type Files struct {
	ByName map[string]*os.File
	// Console is the master of the container's terminal, nil for none.
	Console *os.File
	// Listener is the slot of the filter's listener, if it has one.
	Listener process.Slot
}

// Close closes all files.
func (f Files) Close() error {
	errs := []error{}
	for _, file := range f.ByName {
		errs = append(errs, file.Close())
	}
	if f.Console != nil {
		errs = append(errs, f.Console.Close())
	}
	return errors.Join(errs...)
}

// Compose writes the program and opens the files it names beside those of the namespaces, which the caller brings; user is the
// container's user namespace, nil for none. Without a group the child is where the starter is, until somebody moves it.
func (plan Plan) Compose(p *process.Program, group *cgroup.Group, user *os.File) (files Files, err error) {
	files.ByName = map[string]*os.File{}
	if group != nil {
		if files.ByName, err = group.Files(); err != nil {
			return files, err
		}
		cgroup.Enter(p, files.ByName)
	}
	plan.Namespace.Moves = len(files.ByName) != 1
	add(p, plan.Steps.Entered)
	files.Listener = plan.Append(p, user != nil)
	err = files.open(plan, user)
	return files, err
}

// open opens the mounts of a plan, and its terminal.
func (f *Files) open(plan Plan, user *os.File) error {
	mounts, err := plan.Mount.Open(user)
	maps.Copy(f.ByName, mounts)
	if err != nil || plan.Attribute.Stdio != attribute.StdioTerminal {
		return err
	}
	console, err := mount.NewConsole(plan.Mount)
	if err != nil {
		return err
	}
	f.ByName[mount.FileConsole], f.ByName[attribute.FileTerminal], f.Console = console.Mount, console.Slave, console.Master
	return nil
}

// startOps is about how many calls a start takes.
const startOps = 384

// Append writes the program of a child that has entered its cgroups; own tells that it has a user namespace of its own. The order is
// explained in package attribute.
func (plan Plan) Append(p *process.Program, own bool) (listener process.Slot) {
	p.Ops = slices.Grow(p.Ops, startOps)
	attribute.First(p, plan.Attribute)
	namespace.Append(p, plan.Namespace)
	add(p, plan.Steps.Joined)
	mount.AppendAround(p, plan.Mount, plan.Steps.Built)
	attribute.Early(p, plan.Attribute)
	var join func(*process.Program)
	if own {
		join = func(p *process.Program) {
			namespace.JoinUser(p, plan.Namespace)
			mount.AppendPropagation(p, plan.Mount)
		}
	}
	plan.Attribute.Ready = plan.Steps.Ready
	return attribute.Late(p, plan.Attribute, join)
}

func add(p *process.Program, step func(*process.Program)) {
	if step != nil {
		step(p)
	}
}

// checkSaid refuses what no manifest can say, but a program that uses this library can.
func checkSaid(s spec.ContainerSpec) error {
	switch {
	case !filepath.IsAbs(s.Rootfs.Path):
		return fmt.Errorf("rootfs.path %q is not absolute: %w", s.Rootfs.Path, fs.ErrInvalid)
	case len(s.Command) == 0 || s.Command[0] == "":
		return fmt.Errorf("the command is empty: %w", fs.ErrInvalid)
	case len(s.Mounts) > maxMounts:
		return fmt.Errorf("%d mounts are more than %d: %w", len(s.Mounts), maxMounts, fs.ErrInvalid)
	}
	if text := FindNUL(s); text != "" {
		return fmt.Errorf("%q holds a NUL: %w", text, fs.ErrInvalid)
	}
	return nil
}

// maxMounts is how many mounts a manifest can say: all of a start is one program, of process.MaxOps calls.
const maxMounts = 1000

// newAttributes plans what the process is: user, privileges, limits, command and environment. Users are looked up in the root.
func newAttributes(c spec.Container, root *rootfs.Root, capabilities func(uid uint32) (capability.Sets, error), ids mount.IDMap, host *Host) (a attribute.Plan, err error) {
	s := c.Spec
	lookup, limits := root.User, attribute.Rlimits
	if s.Base == spec.BaseNone {
		lookup, limits = root.Numbers, attribute.SaidRlimits
	}
	user, err := lookup(s.User, s.AdditionalGroups)
	if err != nil {
		return a, err
	}
	owner, ok := ids.UID(user.UID)
	if _, hasGroup := ids.GID(user.GID); !ok || !hasGroup {
		return a, fmt.Errorf("user %d:%d has no ids in the container's user namespace: %w", user.UID, user.GID, fs.ErrInvalid)
	}
	umask, err := strconv.ParseUint(s.Umask, 8, 32)
	if err != nil || umask > 0o777 {
		return a, fmt.Errorf("umask %q is not an octal mask: %w", s.Umask, fs.ErrInvalid)
	}
	caps, err := capabilities(user.UID)
	if err != nil {
		return a, err
	}
	rlimits, err := limits(s.Rlimits, host.ceilings)
	if err != nil {
		return a, err
	}
	filter, err := host.filters.For(s.Security, caps.Bounding)
	if err != nil {
		return a, err
	}
	if filter.Notifies() && !host.Waits {
		return a, fmt.Errorf("cannot use %s: a start cannot yet wait for the listener: %w", spec.SeccompNotify, errors.ErrUnsupported)
	}
	env := attribute.Environ(s.Env, user.Home, s.Hostname)
	if s.Base == spec.BaseNone {
		env = attribute.SaidEnviron(s.Env, user.Home)
	}
	stdio := attribute.StdioLog
	switch {
	case s.TTY:
		stdio = attribute.StdioTerminal
	case s.Stdin:
		stdio = attribute.StdioInput
	}
	a = attribute.Plan{
		Stdio:   stdio,
		Rlimits: rlimits, Umask: uint32(umask), Ignored: host.signals.Ignored,
		UID: user.UID, GID: user.GID, Groups: user.Groups, Owner: owner,
		Capabilities: caps, LastCap: host.capability.Last, NewPrivs: s.Security.AllowNewPrivileges, Seccomp: filter,
		Argv: s.Command, Paths: rootfs.Candidates(s.Command[0], s.Env["PATH"]), Env: env, Init: s.Init,
	}
	return a, a.Say(s, host.capability)
}
