package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Restoring is a container on its way back from an image. Its record, its cgroup with the limits of the new configuration and what it joins are there; the rest is
// made by a tool, which Start starts, and which says when to call Enter and Adopt. Commit or Undo must follow.
//
//	OpenRestore --- Start: the tree stands at start.Stage --- Enter: namespaces, hooks --- Adopt: processes, stopped --- Commit: they run
type Restoring struct {
	// Joined are the names of the namespaces that the container joins by path: net, ipc, uts, time. Their files can be named in a tool.
	Joined map[string]*os.File
	// TTY tells that it has a terminal, whose master Commit wants. OwnNetwork: that its network goes with it. OwnUsers: that it has a user namespace.
	TTY, OwnNetwork, OwnUsers bool

	m        *making
	restored process.Process
	master   *os.File // of the terminal, once it is ours
}

// OpenRestore claims the id for a container that a tool makes from an image.
func (r *Runtime) OpenRestore(ctx context.Context, id, bundle string, detach bool, o Options) (*Restoring, error) {
	m, err := r.begin(ctx, id, bundle, o)
	if err != nil {
		return nil, err
	}
	m.imaged, m.rec.Restored = true, true
	s := m.t.Container.Spec
	if err = handed(s.TTY, detach, o.ConsoleSocket); err == nil {
		err = m.readmit()
	}
	if err != nil {
		return nil, m.undo(ctx, err)
	}
	own := s.Network.Mode != spec.NetworkHost && s.Network.Mode != spec.NetworkJoin
	return &Restoring{Joined: maps.Clone(m.joined), TTY: s.TTY, OwnNetwork: own, OwnUsers: s.Namespaces.User.Mode == spec.UserMap, m: m}, nil
}

// readmit makes the cgroup and opens what is joined.
func (m *making) readmit() error {
	if err := dumpable(m.t); err != nil {
		return err
	}
	if err := m.enclose(); err != nil {
		return err
	}
	if _, err := m.design(); err != nil {
		return err
	}
	if m.plan.Namespace.UTS == namespace.New { // the image has it
		m.plan.Namespace.UTS = namespace.Node
	}
	m.plan.Namespace.Hostname, m.plan.Namespace.Domainname = "", ""
	m.plan.Steps.Entered = m.entered
	return nil
}

// Start starts the tool in the container's cgroup: a child of this process, which it does not outlive. It finds the files that t names: those given, which stay the
// caller's, those of Joined, the caller's stdio, and survey.Null, a null device.
func (r *Restoring) Start(ctx context.Context, t start.Tool, given map[string]*os.File) (err error) {
	m := r.m
	if m.doors, err = start.NewDoors(); err != nil {
		return err
	}
	for i, name := range StdioNames {
		if m.Stdio[i] != nil && !r.TTY {
			t.Stdio[i] = name
		}
	}
	group := m.group
	if m.rec.Scope != nil {
		group = nil
	}
	if m.files, err = m.plan.ComposeRestore(&m.program, t, group, m.joined[namespace.FileUser]); err != nil {
		return err
	}
	run, err := m.toolRun()
	if err != nil {
		return err
	}
	defer run.Close()
	all := m.all()
	if slices.Contains(t.Files, survey.Null) {
		null, err := mount.NewNull()
		if err != nil {
			return err
		}
		defer null.Close()
		all[survey.Null] = null
	}
	maps.Copy(all, given)
	all[start.FileRun] = run
	if m.child, err = process.StartParked(&m.program, all); err != nil {
		return err
	}
	m.doors.HandOver()
	if err := m.doors.Attend(ctx); err != nil && !errors.Is(err, start.ErrEnded) {
		return err
	}
	return m.child.Wait(ctx)
}

// Kill ends the tool, wherever it is.
func (r *Restoring) Kill() {
	if r.m.child != nil {
		_ = process.Signal(r.m.child.Pidfd, unix.SIGKILL)
	}
}

// Mounts are, once the tool has started, where its tree stands and what the mounts of an image may be made from: by what the image calls each, a path as the tool
// sees it. In a user namespace of the container's each is a copy with nothing below it.
func (r *Restoring) Mounts() (root string, mounts map[string]string, err error) {
	staged, err := survey.At(start.Stage, r.m.child.Pid, nil)
	if err == nil && r.OwnUsers {
		staged, err = start.Flatten(r.m.child.Pid, staged)
	}
	if err != nil {
		return "", nil, err
	}
	mounts = map[string]string{}
	for _, s := range staged {
		mounts[s.Point] = s.Source
	}
	for _, s := range staged {
		if _, taken := mounts[maskKey]; !taken && s.Root != "/" && s.Type == "tmpfs" && slices.Contains(r.m.plan.Mount.Masked, s.Point) {
			mounts[maskKey] = s.Source // one that hides a file is as good as another
		}
	}
	return mounts["/"], mounts, nil
}

// Enter is called when the first process has its namespaces and nothing else yet: its own network is set up, and the hooks of a container that is being created are run, but for
// those that would be in its root, which the tool makes.
func (r *Restoring) Enter(ctx context.Context, pid int) error {
	m := r.m
	if r.OwnNetwork {
		if err := m.ownNetwork(pid); err != nil {
			return err
		}
	}
	m.rec.Pid = pid
	for _, kind := range m.t.ofCreate() {
		if kind.name == "createContainer" {
			continue
		}
		if err := onNode(ctx, kind.name, kind.hooks, m.rec, hook.Creating); err != nil {
			return err
		}
	}
	return nil
}

// ownNetwork sets up the network that an image has without anything in it.
func (m *making) ownNetwork(pid int) error {
	net, err := namespace.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.CLONE_NEWNET)
	if err != nil {
		return err
	}
	defer net.Close()
	theirs, err := namespace.Of(net)
	if err != nil {
		return err
	}
	if own, err := namespace.OfProcess(os.Getpid(), namespace.FileNet); err != nil || own == theirs {
		return errors.Join(err, invalid("the image is of a container in the node's network, the configuration wants one of its own"))
	}
	return netlink.Inside(net, func() error {
		if err := network.LoopbackUp(); err != nil {
			return err
		}
		for _, sysctl := range m.plan.Mount.Sysctls {
			if !sysctl.IsNetwork() {
				continue
			}
			if err := sysctl.Set(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Adopt is called when all processes are there and none runs yet: the first is written down, and refused if it is not in the namespaces that the configuration says.
func (r *Restoring) Adopt(pid int) error {
	m := r.m
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("cannot open the restored process %d: %w", pid, err)
	}
	pidfd := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	if _, _, err := process.Peek(pidfd); err != nil { // only a child of ours cannot have become a stranger
		return errors.Join(fmt.Errorf("process %d is not the first one that was restored: %w", pid, fs.ErrInvalid), err, pidfd.Close())
	}
	r.restored = process.Process{Pid: pid, Pidfd: pidfd}
	m.born, m.rec.Pid = true, pid
	if m.rec.StartTime, err = process.StartTime(pid); err != nil {
		return err
	}
	if err := m.settled(pid); err != nil {
		return err
	}
	return m.dir.writeJSON(stateFile, m.rec)
}

// settled compares the namespaces of a restored process with those that the configuration says: an image can say others.
func (m *making) settled(pid int) error {
	s := m.t.Container.Spec
	wanted := map[string]namespace.Source{"mnt": namespace.New, namespace.FileUser: namespace.Node}
	for _, k := range namespace.Kinds {
		wanted[k.Name] = k.Wanted(s)
	}
	if s.Namespaces.User.Mode == spec.UserMap {
		wanted[namespace.FileUser] = namespace.New
	}
	for _, kind := range slices.Sorted(maps.Keys(wanted)) {
		theirs, err := namespace.OfProcess(pid, kind)
		if err != nil {
			return err
		}
		node, err := namespace.OfProcess(os.Getpid(), kind)
		if err != nil {
			return err
		}
		right := theirs == node
		switch wanted[kind] {
		case namespace.New:
			right = !right
		case namespace.Joined:
			joined, err := namespace.Of(m.joined[kind])
			if err != nil {
				return err
			}
			right = theirs == joined
		}
		if !right {
			return invalid("the image is of a container with another %s namespace than the configuration says", kind)
		}
	}
	if s.Namespaces.User.Mode != spec.UserMap {
		return nil
	}
	uids, gids, err := namespace.MapsOf(pid)
	if err == nil && (!slices.Equal(uids, s.Namespaces.User.UIDMappings) || !slices.Equal(gids, s.Namespaces.User.GIDMappings)) {
		err = invalid("the image is of a container with other ids in its user namespace than the configuration says")
	}
	return err
}

// Commit is called when the processes run and the tool is done: from now on it is a container like others. Master is its terminal's, nil for none; it becomes the callee's.
func (r *Restoring) Commit(ctx context.Context, master *os.File) (*Running, error) {
	m := r.m
	r.master = master
	if err := process.Ended(ctx, m.child.Pidfd); err != nil {
		return nil, fmt.Errorf("the tool does not end: %w", err)
	}
	if _, err := process.Reap(m.child.Pidfd); err != nil {
		return nil, err
	}
	running := &Running{runtime: m.Runtime, id: m.rec.ID, Process: r.restored}
	if r.TTY && master == nil {
		return nil, invalid("the image has no terminal")
	}
	switch {
	case master != nil && m.ConsoleSocket != "":
		if err := sendFile(m.ConsoleSocket, master, terminalName); err != nil {
			return nil, err
		}
	case r.TTY:
		running.Master, r.master = master, nil
	}
	if err := m.made(); err != nil {
		return nil, err
	}
	r.restored.Pidfd = nil
	r.close()
	m.close()
	return running, nil
}

// Undo takes back what was made, because of an error.
func (r *Restoring) Undo(ctx context.Context, why error) error {
	r.m.tell()
	if r.restored.Pidfd != nil {
		_ = process.Signal(r.restored.Pidfd, unix.SIGKILL)
	}
	err := r.m.undo(ctx, why)
	if r.restored.Pidfd != nil {
		_, _ = process.Reap(r.restored.Pidfd)
	}
	r.close()
	return err
}

func (r *Restoring) close() {
	for _, f := range []*os.File{r.master, r.restored.Pidfd} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// StdioNames are what the first three descriptors are called in a program.
var StdioNames = [3]string{attribute.FileStdin, attribute.FileStdout, attribute.FileStderr}

// ParseExternal reads the text of ExternalFile. What it names is one of the first three descriptors, or a null device.
func ParseExternal(text []byte) (External, error) {
	var e External
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("cannot use %s: %v: %w", ExternalFile, err, fs.ErrInvalid)
	}
	for file, name := range e.Files {
		if name != survey.Null && !slices.Contains(StdioNames[:], name) {
			return e, invalid("cannot use %s: %s is %q", ExternalFile, file, name)
		}
	}
	return e, nil
}
