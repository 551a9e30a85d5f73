// Package start composes a start: a container's words become one program, the files it names, and nothing else yet. It
// knows the order of the parts; it refuses to know who runs the program, who keeps the container and where it is recorded, so
// that manifests, library and OCI command line share it.
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
	"strings"

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
}

// NewPlan plans a start of a defaulted container with the given layer directory. It changes nothing; what the container asks
// for and this node, or the rootfs, cannot give is an error that names it.
func NewPlan(c spec.Container, layer string, host *Host) (Plan, error) {
	if err := checkSaid(c.Spec); err != nil {
		return Plan{}, err
	}
	facts, err := mount.Look(c, mount.Facts{Layer: layer})
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
	attributes, err := newAttributes(c, root, caps, host)
	if err != nil {
		return Plan{}, err
	}
	names := namespace.NewPlan(c.Spec)
	if names.Clocks, err = namespace.NewClocks(c.Spec.Namespaces.Time, host.capability); err != nil {
		return Plan{}, err
	}
	return Plan{Namespace: names, Mount: tree, Attribute: attributes}, nil
}

// Compose writes the program and opens the files it names beside those of the namespaces, which the caller brings. The caller
// closes the files, even after an error.
func (plan Plan) Compose(p *process.Program, group *cgroup.Group) (map[string]*os.File, error) {
	files, err := group.Files()
	if err != nil {
		return nil, err
	}
	cgroup.Enter(p, files)
	plan.Namespace.Moves = len(files) > 1
	plan.Append(p)
	mounts, err := plan.Mount.Open(nil)
	maps.Copy(files, mounts)
	return files, err
}

// Append writes the program of a child that has entered its cgroups. The order is explained in package attribute.
func (plan Plan) Append(p *process.Program) {
	attribute.First(p, plan.Attribute)
	namespace.Append(p, plan.Namespace)
	mount.Append(p, plan.Mount)
	attribute.Early(p, plan.Attribute)
	attribute.Late(p, plan.Attribute, nil)
}

// checkSaid refuses what no manifest can say, but a program that uses this library can.
func checkSaid(s spec.ContainerSpec) error {
	switch {
	case !filepath.IsAbs(s.Rootfs.Path):
		return fmt.Errorf("rootfs.path %q is not absolute: %w", s.Rootfs.Path, fs.ErrInvalid)
	case len(s.Command) == 0 || s.Command[0] == "":
		return fmt.Errorf("the command is empty: %w", fs.ErrInvalid)
	}
	for _, text := range slices.Concat(s.Command, slices.Collect(maps.Keys(s.Env)), slices.Collect(maps.Values(s.Env))) {
		if strings.Contains(text, "\x00") { // the kernel would take what is before it
			return fmt.Errorf("%q in command or env holds a NUL: %w", text, fs.ErrInvalid)
		}
	}
	return nil
}

// newAttributes plans what the process is: user, privileges, limits, command and environment. Users are looked up in the root.
func newAttributes(c spec.Container, root *rootfs.Root, capabilities func(uid uint32) (capability.Sets, error), host *Host) (a attribute.Plan, err error) {
	s := c.Spec
	lookup, limits := root.User, attribute.Rlimits
	if s.Base == spec.BaseNone {
		lookup, limits = root.Numbers, attribute.SaidRlimits
	}
	user, err := lookup(s.User, s.AdditionalGroups)
	if err != nil {
		return a, err
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
	if filter.Notifies() {
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
		Rlimits: rlimits, Umask: uint32(umask),
		UID: user.UID, GID: user.GID, Groups: user.Groups, Owner: user.UID,
		Capabilities: caps, LastCap: host.capability.Last, NewPrivs: s.Security.AllowNewPrivileges, Seccomp: filter,
		Argv: s.Command, Paths: rootfs.Candidates(s.Command[0], s.Env["PATH"]), Env: env, Init: s.Init,
	}
	return a, a.Say(s, host.capability)
}
