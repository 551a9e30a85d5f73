package linux

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
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// startPlan is a start as a value: what each package will write into the program.
type startPlan struct {
	namespace namespace.Plan
	mount     mount.Plan
	attribute attribute.Plan
}

// host is what the starts of all containers have in common: what this node's keeper has to give. It does not change.
type host struct {
	capability capability.Node
	ceilings   attribute.Ceilings
	proc       *os.File // for attribute.FileProc
	init       *os.File // for attribute.FileInit
}

// readHost reads it of the keeper's process.
func readHost(keeper int) (h host, err error) {
	if h.capability, err = capability.ReadNode(keeper); err != nil {
		return h, err
	}
	if h.ceilings, err = attribute.ReadCeilings(keeper); err != nil {
		return h, err
	}
	if h.proc, err = attribute.OpenProc(); err != nil {
		return h, err
	}
	h.init, err = tinyinit.Open()
	return h, err
}

// lend adds the files that every start uses and none consumes.
func (h host) lend(files map[string]*os.File) map[string]*os.File {
	files = maps.Clone(files)
	files[attribute.FileProc], files[attribute.FileInit] = h.proc, h.init
	return files
}

// close closes what was read.
func (h host) close() error {
	var errs []error
	for _, f := range []*os.File{h.proc, h.init} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// planStart plans a start of a defaulted container with the given layer directory. It changes nothing; what a manifest asks for and this
// node, or the rootfs, cannot give is an error that names it.
func (n *Node) planStart(c spec.Container, layer string) (startPlan, error) {
	if err := checkSaid(c.Spec); err != nil {
		return startPlan{}, err
	}
	facts, err := mount.Look(c, layer)
	if err != nil {
		return startPlan{}, err
	}
	tree, err := mount.NewPlan(c, facts)
	if err != nil {
		return startPlan{}, err
	}
	attributes, err := n.planAttributes(c)
	if err != nil {
		return startPlan{}, err
	}
	return startPlan{
		namespace: namespace.Plan{HostNetwork: c.Spec.Network.Mode == spec.NetworkHost, Hostname: c.Spec.Hostname},
		mount:     tree,
		attribute: attributes,
	}, nil
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

// planAttributes plans what the process is: user, privileges, limits, command and environment.
func (n *Node) planAttributes(c spec.Container) (a attribute.Plan, err error) {
	s := c.Spec
	root, err := rootfs.Open(s.Rootfs.Path)
	if err != nil {
		return a, err
	}
	defer root.Close()
	user, err := root.User(s.User, s.AdditionalGroups)
	if err != nil {
		return a, err
	}
	umask, err := strconv.ParseUint(s.Umask, 8, 32)
	if err != nil || umask > 0o777 {
		return a, fmt.Errorf("umask %q is not an octal mask: %w", s.Umask, fs.ErrInvalid)
	}
	caps, err := capability.NewSets(s.Security.Capabilities, user.UID, n.host.capability)
	if err != nil {
		return a, err
	}
	rlimits, err := attribute.Rlimits(s.Rlimits, n.host.ceilings)
	if err != nil {
		return a, err
	}
	var filter seccomp.Filter
	if s.Security.Seccomp == spec.SeccompDefault {
		if filter, err = n.filters.Default(caps.Bounding); err != nil {
			return a, err
		}
	}
	env := attribute.Environ(s.Env, user.Home, s.Hostname)
	return attribute.Plan{
		OOMScoreAdj: s.OOMScoreAdj, Rlimits: rlimits, Umask: uint32(umask),
		UID: user.UID, GID: user.GID, Groups: user.Groups,
		Capabilities: caps, LastCap: n.host.capability.Last, NewPrivs: s.Security.AllowNewPrivileges, Filter: filter,
		Argv: s.Command, Paths: rootfs.Candidates(s.Command[0], path(s.Env)), Env: env, Init: s.Init,
	}, nil
}

// append writes the program of a child that has entered its cgroups. The order is explained in package attribute.
func (plan startPlan) append(p *process.Program) {
	namespace.Append(p, plan.namespace)
	mount.Append(p, plan.mount)
	attribute.Early(p, plan.attribute)
	attribute.Late(p, plan.attribute)
}

// path is the PATH a command is looked up in.
func path(env map[string]string) string {
	if path, said := env["PATH"]; said {
		return path
	}
	return rootfs.DefaultPath
}
