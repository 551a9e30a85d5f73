package oci

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// compose plans the start and opens what the container joins.
func (m *making) compose() error {
	ids, err := m.design()
	if err != nil {
		return err
	}
	m.attributes()
	m.steps(ids.IsZero())
	return nil
}

// design plans all but what the child waits for, and gives the ids of the container's user namespace.
func (m *making) design() (ids mount.IDMap, err error) {
	if m.host, err = openHost(); err != nil {
		return ids, err
	}
	c := m.t.Container
	grantable(&c.Spec, m.Runtime)
	c.Spec.Env = maps.Clone(c.Spec.Env)
	maps.Copy(c.Spec.Env, m.Env)
	if err := m.notifying(&c.Spec); err != nil {
		return ids, err
	}
	c = spec.Defaulted(c, spec.DefaultsVersion)
	if ids, err = m.namespaces(c.Spec); err != nil {
		return ids, err
	}
	tunes, err := m.tunes()
	if err != nil {
		return ids, err
	}
	if m.plan, err = start.NewPlan(c, mount.Facts{IDs: ids, Cgroup: "/" + m.rec.Cgroup, Tunes: tunes}, m.host); err != nil {
		return ids, err
	}
	names := &m.plan.Namespace
	for name, source := range map[string]*namespace.Source{namespace.FileNet: &names.Net, namespace.FileIPC: &names.IPC, namespace.FileUTS: &names.UTS} {
		if *source == namespace.Joined && m.joined[name] == nil { // no sandbox is kept for it
			*source = namespace.New
		}
	}
	names.Hostname, names.Domainname = m.t.Hostname, m.t.Domainname
	if m.NoPivot {
		m.plan.Mount.Chroot, err = mount.NewChroot()
	}
	return ids, err
}

// openHost hardens this process, which children share the memory of, and says what it has to give.
func openHost() (*start.Host, error) {
	if err := process.Harden(); err != nil {
		return nil, err
	}
	host, err := start.OpenHost(os.Getpid())
	if err == nil {
		host.Waits = true
	}
	return host, err
}

// grantable leaves out the capabilities that this runtime has not got: the specification has it warn, and go on.
func grantable(s *spec.ContainerSpec, r *Runtime) {
	node, err := capability.ReadNode(os.Getpid())
	if err != nil {
		return
	}
	c := &s.Security.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted, &c.Inheritable, &c.Ambient} {
		known, rest := capability.Known(*set, node)
		for _, name := range rest {
			r.Log.Info("a capability is left out: the runtime has not got it", "capability", name)
		}
		*set = known
	}
	if !c.Explicit() {
		c.Drop = []string{spec.CapabilityAll}
	}
}

// attributes are what a configuration, or the caller, says of the process and a manifest does not.
func (m *making) attributes() {
	a := &m.plan.Attribute
	a.InheritKeyring = m.NoNewKeyring
	m.own = map[string]*os.File{}
	for i := range m.ExtraFiles {
		a.ExtraFiles = append(a.ExtraFiles, extraName(i))
	}
	if m.lasting {
		a.Report = fileResult
	}
	for i, f := range m.Stdio {
		a.Null[i] = a.Stdio != attribute.StdioTerminal && m.plan.Mount.Dev != mount.DevForeign && f != nil && isNull(f)
	}
}

// isNull tells whether a file is a null device.
func isNull(f *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// extraName is what one of the caller's further files is called in a program.
func extraName(i int) string { return "fd" + strconv.Itoa(3+i) }

// steps say where the child waits, and for what.
func (m *making) steps(isNodeUser bool) {
	s := &m.plan.Steps
	s.Entered = m.entered
	s.Joined = func(p *process.Program) {
		if isNodeUser && m.plan.Namespace.Net == namespace.New {
			namespace.LoopbackUp(p)
		}
		if m.t.TimePath != "" {
			namespace.EnterTime(p)
		}
	}
	if slices.ContainsFunc(m.t.ofCreate(), func(k hookKind) bool { return len(k.hooks) > 0 }) {
		m.plan.Mount.Stage = m.rec.Rootfs // where such hooks look for it
		s.Built = func(p *process.Program) { m.doors.Add(p, "build the root", m.createHooks) }
	}
	s.Ready = func(p *process.Program, listener process.Slot) {
		if m.plan.Attribute.Seccomp.Notifies() {
			m.doors.Add(p, "hand over the seccomp listener", m.sendListener, listener)
		}
		switch {
		case m.lasting:
			m.doors.Tell(p, "be ready")
			p.Call("wait for the start", "", unix.SYS_READ, p.File(fileStart), process.Data(make([]byte, 1)), process.Int(1))
		case len(m.t.Container.Spec.Hooks.StartContainer) > 0:
			m.doors.Add(p, "be ready", m.startHooks)
		}
	}
}

// entered parks the child, which is in its cgroups, or is put there.
func (m *making) entered(p *process.Program) {
	p.Park()
	if m.rec.Scope != nil {
		m.doors.Add(p, "enter the scope", m.enterScope)
	}
}

// namespaces opens the namespaces that the container joins, and makes those that are to belong to a user namespace of its own. It gives the ids of that.
func (m *making) namespaces(s spec.ContainerSpec) (ids mount.IDMap, err error) {
	m.files.ByName = map[string]*os.File{}
	names := map[string]*os.File{}
	m.joined = names
	open := func(name, path string, flag int) (err error) {
		if names[name], err = namespace.Open(path, flag); err != nil {
			delete(names, name)
		}
		return err
	}
	for _, k := range namespace.Kinds {
		if k.Wanted(s) == namespace.Joined {
			if err := open(k.Name, k.Of(s), k.Flag); err != nil {
				return ids, err
			}
		}
	}
	if m.t.TimePath != "" {
		if err := open(namespace.FileTime, m.t.TimePath, unix.CLONE_NEWTIME); err != nil {
			return ids, err
		}
	}
	u := s.Namespaces.User
	switch u.Mode {
	case spec.UserJoin:
		if err = open(namespace.FileUser, u.Join, unix.CLONE_NEWUSER); err == nil {
			ids.UIDs, ids.GIDs, err = namespace.MapsIn(names[namespace.FileUser])
		}
	case spec.UserMap:
		ids = mount.IDMap{UIDs: u.UIDMappings, GIDs: u.GIDMappings}
		names[namespace.FileUser], err = namespace.NewUser(ids.UIDs, ids.GIDs)
		if err != nil {
			delete(names, namespace.FileUser)
		}
	default:
		return ids, nil
	}
	if err != nil || m.imaged {
		return ids, err
	}
	return ids, m.within(s, names[namespace.FileUser])
}

// tunes tells whether the network that the container joins may be changed by its configuration: it is not the node's under another name.
func (m *making) tunes() (bool, error) {
	joined := m.joined[namespace.FileNet]
	if joined == nil {
		return false, nil
	}
	theirs, err := namespace.Of(joined)
	if err != nil {
		return false, err
	}
	own, err := namespace.OfProcess(os.Getpid(), "net")
	return theirs != own, err
}

// within makes the new namespaces that belong to a user namespace.
func (m *making) within(s spec.ContainerSpec, user *os.File) error {
	var kinds []string
	for _, k := range namespace.Kinds {
		if k.Sandbox && k.Wanted(s) == namespace.New {
			kinds = append(kinds, k.Name)
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	made, err := namespace.NewIn(user, kinds, s.Network.Mode == spec.NetworkPrivate)
	maps.Copy(m.joined, made)
	return err
}

// enclose makes the cgroup with its limits, before there is anybody in it.
func (m *making) enclose() error {
	if m.rec.Scope != nil {
		return nil // which needs a process
	}
	if err := m.group.Create(); err != nil {
		return err
	}
	m.rec.Owned = true
	if err := errors.Join(m.mark(m.rec, m.group), m.dir.writeJSON(stateFile, m.rec)); err != nil {
		return err
	}
	return m.limit()
}

func (m *making) limit() error {
	rules, err := cgroup.DeviceRules(m.t.Container.Spec)
	if err != nil {
		return err
	}
	return errors.Join(m.group.Set(m.t.Container.Spec.Resources), m.group.SetDevices(rules))
}

// open writes the program and opens all its files.
func (m *making) open() (err error) {
	if m.doors, err = start.NewDoors(); err != nil {
		return err
	}
	group := m.group
	if m.rec.Scope != nil {
		group = nil
	}
	if m.files, err = m.plan.Compose(&m.program, group, m.joined[namespace.FileUser]); err != nil {
		return err
	}
	if m.lasting {
		for name, file := range map[string]string{fileStart: startFIFO, fileResult: resultFIFO} {
			if m.own[name], err = makeFIFO(m.dir.file(file)); err != nil {
				return err
			}
		}
	}
	return m.console()
}

// makeFIFO makes one and opens both of its ends, so that it never ends.
func makeFIFO(path string) (*os.File, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// all are the files of the program, by name.
func (m *making) all() map[string]*os.File {
	all := m.host.Lend(m.files.ByName)
	for i, name := range []string{attribute.FileStdin, attribute.FileStdout, attribute.FileStderr} {
		if m.Stdio[i] != nil {
			all[name] = m.Stdio[i]
		}
	}
	for i, f := range m.ExtraFiles {
		all[extraName(i)] = f
	}
	maps.Copy(all, m.joined)
	maps.Copy(all, m.own)
	maps.Copy(all, m.doors.Files())
	return all
}

// sendListener hands the filter's listener, which the waiting child has as a descriptor of this number, to the program that decides.
func (m *making) sendListener(ctx context.Context, number int) error {
	return sendListener(ctx, m.child, number, m.plan.Attribute.Seccomp.Listener, m.rec, hook.Creating)
}

func sendListener(ctx context.Context, child *process.Parked, number int, to seccomp.Listener, rec record, status hook.Status) error {
	fd, err := unix.PidfdGetfd(int(child.Pidfd.Fd()), number, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_getfd", err)
	}
	listener := os.NewFile(uintptr(fd), "seccomp listener")
	defer listener.Close()
	state, err := subject(rec).State(status)
	if err != nil {
		return err
	}
	return seccomp.SendListener(ctx, to, state, child.Pid, listener)
}
