package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Dump is a container whose processes are to be saved: what of it an image has not got. No other verb has it until Close.
type Dump struct {
	// Pid is the first process.
	Pid int
	// Mounts are those that are made again by the configuration: for each place, what the image calls it. Whoever saves the others saves the file systems
	// in memory with all they hold.
	Mounts map[string]string
	// Files are the node's that processes have open, as criu names them: for each, which of the caller's first three descriptors stands for it at a
	// restore, by its name in a program, or survey.Null.
	Files map[string]string
	// Descriptors are what the first three descriptors were when the container was made, as links in /proc show them: a pipe has to be handed on.
	Descriptors [3]string
	// Network is the inode of a network namespace that outlives the processes; 0 if theirs is the node's, or OwnNetwork, and goes with them.
	Network    uint64
	OwnNetwork bool
	// Watched are the paths of what is waited for with inotify and cannot be found by its number.
	Watched []string
	// Cgroup is the container's in the unified hierarchy; it is frozen if the container is paused.
	Cgroup string
	Paused bool
	// Nested tells that the container has made cgroups of its own, and processes are in them.
	Nested bool

	sockets map[string]bool // that the processes have open

	r     *Runtime
	dir   *directory
	rec   record
	group *cgroup.Group
	run   *os.File // the tool's
}

// OpenDump looks at a container that runs, or is paused. What cannot be saved is errors.ErrUnsupported.
func (r *Runtime) OpenDump(ctx context.Context, id string) (_ *Dump, err error) {
	dir, rec, status, err := r.lead(ctx, id)
	if err != nil {
		return nil, err
	}
	d := &Dump{Pid: rec.Pid, Paused: status == StatePaused, r: r, dir: dir, rec: rec}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if status != specs.StateRunning && status != StatePaused {
		return nil, fmt.Errorf("container cannot be checkpointed in %s state%w", status, hidden{ErrNotRunning})
	}
	t, err := r.translation(rec)
	if err != nil {
		return nil, err
	}
	if d.group, err = r.group(rec); err != nil {
		return nil, err
	}
	target, err := rec.target()
	if err != nil {
		return nil, err
	}
	defer target.Close()
	d.Cgroup = d.group.Path()
	if err := dumpable(t); err != nil {
		return nil, err
	}
	for _, look := range []func(Translation) error{d.mounts, d.files, d.network, d.nested} {
		if err := look(t); err != nil {
			return nil, err
		}
	}
	return d, target.Lives()
}

// configNote is the annotation by which engines name a configuration of criu.
const configNote = "org.criu.config"

// dumpable refuses what no image can hold or bring back.
func dumpable(t Translation) error {
	n := t.Container.Spec.Namespaces
	switch {
	case n.PID != "" && n.PID != spec.NamespacePrivate && n.PID != spec.NamespaceHost:
		return unsupported("a container in another's pid namespace, %s, cannot be saved nor restored", n.PID)
	case n.Cgroup != "" && n.Cgroup != spec.NamespacePrivate && n.Cgroup != spec.NamespaceHost:
		return unsupported("a container in another's cgroup namespace, %s, cannot be saved nor restored", n.Cgroup)
	case n.User.Mode == spec.UserJoin:
		return unsupported("a container in another's user namespace, %s, cannot be saved nor restored", n.User.Join)
	case t.Annotations[configNote] != "":
		return unsupported("the annotation %s is not heeded: criu has the options that the command line says, and no file of its own", configNote)
	}
	return nil
}

// mounts tells the container's mounts apart. A file system in memory is its own unless it is bound, or the node has it as well.
func (d *Dump) mounts(t Translation) error {
	d.Mounts = map[string]string{}
	mounts, err := survey.Mounts(d.Pid)
	if err != nil {
		return err
	}
	node, err := survey.MountsOf(os.Getpid())
	if err != nil {
		return err
	}
	outside := map[string]bool{}
	for _, m := range node {
		outside[m.Device] = true
	}
	bound := map[string]bool{}
	for _, m := range t.Container.Spec.Mounts {
		if m.Type == spec.MountBind {
			bound[filepath.Clean(m.Destination)] = true
		}
	}
	for _, m := range mounts {
		if err := survey.CheckName(m); err != nil {
			return err
		}
		if ipc := t.Container.Spec.Namespaces.IPC; m.Type == "mqueue" && m.Root == "/" && (ipc == "" || ipc == spec.NamespacePrivate) {
			if err := survey.Queues(d.Pid, m.Point); err != nil {
				return err
			}
		}
		own := m.Root == "/" && !outside[m.Device] && !bound[m.Point]
		if own && m.Point == devPath && t.Container.Spec.Namespaces.User.Mode == spec.UserMap {
			if err := d.devices(t, mounts); err != nil {
				return err
			}
			own = false
		}
		switch {
		case m.Type == "tmpfs" && own, m.Type == "mqueue", m.Type == "sysfs", survey.Shown(m, mounts) && !outside[m.Device]:
			continue
		}
		d.Mounts[m.Point] = m.Point
		if s := t.Container.Spec.Security; m.Type == "tmpfs" && s.MaskedPaths != nil && slices.Contains(*s.MaskedPaths, m.Point) {
			d.Mounts[m.Point] = maskKey
		}
	}
	return nil
}

const devPath = "/dev"

// devices looks for what is in /dev beside what every such container finds there. In a user namespace nobody can make devices again, so the whole is made by the configuration.
func (d *Dump) devices(t Translation, mounts []proc.Mount) error {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/root%s", d.Pid, devPath)) // mounted there, so no link
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(devPath, e.Name())
		isMount := slices.ContainsFunc(mounts, func(m proc.Mount) bool { return m.Point == path || strings.HasPrefix(m.Point, path+"/") })
		isDevice := slices.ContainsFunc(t.Container.Spec.Devices, func(s spec.Device) bool { return s.Path == path })
		if !isMount && !isDevice && !mount.MadeInDev(e.Name()) {
			return unsupported("%s would be lost: in a user namespace /dev is made anew", path)
		}
	}
	return nil
}

// maskKey is what images call the mounts that hide files, as those of other runtimes do.
const maskKey = os.DevNull

// files looks at the processes and what they have open.
func (d *Dump) files(Translation) error {
	outside := map[survey.File]string{}
	for i, s := range d.rec.Stdio {
		d.Descriptors[i] = s.Link
		file := survey.File{Dev: s.Dev, Ino: s.Ino}
		if _, taken := outside[file]; !taken && s.Ino != 0 {
			outside[file] = StdioNames[i]
		}
	}
	found, err := survey.Processes{Init: d.Pid, Cgroup: d.Cgroup, Outside: outside}.Look()
	d.Files, d.Watched, d.sockets = found.Open, found.Watched, found.Sockets
	return err
}

// network finds out whose network the container has.
func (d *Dump) network(t Translation) error {
	theirs, err := namespace.OfProcess(d.Pid, namespace.FileNet)
	if err != nil {
		return err
	}
	switch t.Container.Spec.Network.Mode {
	case spec.NetworkHost:
	case spec.NetworkJoin:
		if own, err := namespace.OfProcess(os.Getpid(), namespace.FileNet); err != nil || own == theirs {
			return err
		}
		d.Network = theirs.Ino
	default:
		d.OwnNetwork = true
	}
	return nil
}

// nested looks for processes in cgroups below the container's, in any hierarchy.
func (d *Dump) nested(Translation) error {
	pids, err := d.group.Procs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // or it has ended
		for line := range strings.Lines(string(text)) {
			if _, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":/"); strings.HasPrefix(path, d.rec.Cgroup+"/") {
				d.Nested = true
			}
		}
	}
	return nil
}

// Connected tells whether anybody has a TCP connection in the container's network, and Listens whether anybody waits for one; in the node's network, whether the
// container does.
func (d *Dump) Connected() (bool, error) { return survey.Connected(d.Pid, d.inNode()) }

// Listens is described at Connected.
func (d *Dump) Listens() (bool, error) { return survey.Listens(d.Pid, d.inNode()) }

// inNode are the container's sockets if others are in its network that are not; nil for all that there are.
func (d *Dump) inNode() map[string]bool {
	if d.Network == 0 && !d.OwnNetwork {
		return d.sockets
	}
	return nil
}

// Tool starts a program that saves the container: a child of this process. It finds the files, by their names in t; they stay the caller's.
func (d *Dump) Tool(t start.Tool, given map[string]*os.File) (_ *process.Process, err error) {
	if d.run, err = d.r.toolRun(); err != nil {
		return nil, err
	}
	files := maps.Clone(given)
	files[start.FileRun] = d.run
	p := &process.Program{}
	t.ComposeAside(p, nil)
	return process.Start(p, files)
}

// Remove removes the container, whose processes have ended with their image.
func (d *Dump) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleting)
	defer cancel()
	return d.r.delete(ctx, d.dir, d.rec)
}

// Close lets other verbs have the container. One that was paused is so again.
func (d *Dump) Close() {
	if d.run != nil {
		d.r.learn(d.run)
		_ = d.run.Close()
	}
	if d.group != nil {
		if d.Paused && d.rec.lives() {
			ctx, cancel := context.WithTimeout(context.Background(), busy)
			defer cancel()
			if err := d.group.Freeze(ctx); err != nil {
				d.r.Log.Error(err, "the container is not paused any more")
			}
		}
		_ = d.group.Close()
	}
	d.dir.close()
}

// stream is one of the first three descriptors that a container was made with.
type stream struct {
	Link string `json:"link"`
	// Dev and Ino identify a file of the node's that has a path, and is no null device: each is as good as another.
	Dev uint64 `json:"dev,omitzero"`
	Ino uint64 `json:"ino,omitzero"`
}

// streamsOf looks at files that a container is given.
func streamsOf(files [3]*os.File) (all []stream) {
	for _, f := range files {
		var s stream
		if f != nil {
			s.Link, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
			var st unix.Stat_t
			if strings.HasPrefix(s.Link, "/") && unix.Fstat(int(f.Fd()), &st) == nil && !isNull(f) {
				s.Dev, s.Ino = st.Dev, st.Ino
			}
		}
		all = append(all, s)
	}
	return all
}

// The files of an image beside criu's: what the first three descriptors were, as other runtimes have it, and which others stand for what.
const (
	DescriptorsFile = "descriptors.json"
	ExternalFile    = "external.json"
)

// External is what is in ExternalFile.
type External struct {
	// Files are Dump.Files.
	Files map[string]string `json:"files,omitempty"`
}

// Texts are the files of the image beside criu's, by their names.
func (d *Dump) Texts() (map[string][]byte, error) {
	descriptors, err := json.Marshal(d.Descriptors)
	if err != nil || len(d.Files) == 0 {
		return map[string][]byte{DescriptorsFile: descriptors}, err
	}
	external, err := json.Marshal(External{Files: d.Files})
	return map[string][]byte{DescriptorsFile: descriptors, ExternalFile: external}, err
}
