package linux

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Dump is a container with processes as who takes an image of it has to know it: what of it belongs to the node, and where its files are.
// It changes nothing, and holds descriptors until Close.
type Dump struct {
	// Instance is what was looked at.
	Instance spec.Instance
	// Mounts are the mounts that the backend makes again by the container's manifest, by their places in it. All others are made by who restores.
	Mounts []string
	// Streams are the container's ends of its pipes, which are the keeper's: for each, as criu names it, file[MOUNT:INODE], the name of the file
	// that takes its place at a restore.
	Streams map[string]string
	// Network is the inode of a network namespace that outlives the processes; 0 if theirs is the node's, or ends with its Users.
	Network uint64
	// Users are the ids of its user namespace, which ends with the processes; the zero value if theirs is the node's.
	Users mount.IDMap
	// Watched are the paths of what is waited for with inotify and cannot be found by its number.
	Watched []string
	// Root is the container's root directory, and Lower the one it was made from when what it wrote is in a layer, nil when it is not.
	Root, Lower *os.File
	// Trees are the file systems in memory that belong to the container: their contents go with its processes. By their places.
	Trees map[string]*os.File
	// Programs are the files that its processes execute: no image has them.
	Programs survey.Programs
	// Cgroup is the container's in the unified hierarchy; it is frozen if the container is paused.
	Cgroup string
	Paused bool

	node    *Node
	run     *os.File        // the tool's /run
	output  []*os.File      // the pipes that the keeper reads
	target  *start.Target   // its first process
	sockets map[string]bool // that the processes have open, by their inodes
}

// OpenDump looks at an instance with processes. What cannot be saved is errors.ErrUnsupported and says which process or file it is about; an
// instance without a process is spec.ErrNotRunning, and one whose memory is not all there yet, see Filled, spec.ErrBusy.
func (n *Node) OpenDump(ctx context.Context, name string, id uint64) (_ *Dump, err error) {
	in, err := n.known(name, id)
	if err != nil {
		return nil, err
	}
	if !live(in) || in.Pid == 0 {
		return nil, &classed{fmt.Errorf("instance %d is %s: %w", id, in.Phase, spec.ErrNotRunning), fs.ErrInvalid}
	}
	group, err := n.group(name, id)
	if err != nil {
		return nil, err
	}
	d := &Dump{Instance: in, node: n, Trees: map[string]*os.File{}}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.target, err = n.target(name, id); err != nil {
		return nil, err
	}
	if err := checkDumpable(in.Spec.Spec); err != nil {
		return nil, err
	}
	if err := d.users(); err != nil {
		return nil, err
	}
	if in.Filling {
		return nil, errFilling
	}
	if n.isWorkedOn(name) { // by a tool that just gives up, whose caller died
		return nil, fmt.Errorf("an image is being taken of it: %w", spec.ErrBusy)
	}
	if err := d.survey(group.Path()); err != nil {
		return nil, err
	}
	if err := d.openOutput(); err != nil {
		return nil, err
	}
	if ipc := in.Spec.Spec.Namespaces.IPC; in.Spec.Spec.Group != "" && ipc != spec.NamespaceHost {
		if err := survey.NoSystemV(in.Pid); err != nil {
			return nil, err
		}
	}
	if err := d.mounts(); err != nil {
		return nil, err
	}
	if err := d.files(); err != nil {
		return nil, err
	}
	d.Cgroup, d.Paused, d.Programs = group.Path(), in.Phase == spec.InstancePaused, survey.Programs{}
	if err := d.LookAtPrograms(ctx); err != nil {
		return nil, err
	}
	return d, d.Lives()
}

// Lives says whether the container's first process is still the one that was looked at: its number may be another's by now.
func (d *Dump) Lives() error {
	if err := d.target.Lives(); err != nil {
		return fmt.Errorf("it has ended: %w: %w", spec.ErrNotRunning, err)
	}
	return nil
}

// Close closes the files.
func (d *Dump) Close() {
	if d.target != nil {
		d.target.Close()
	}
	if d.run != nil {
		d.node.toolCache.learn(d.run)
	}
	for _, f := range append([]*os.File{d.Root, d.Lower, d.run}, d.output...) {
		if f != nil {
			_ = f.Close()
		}
	}
	closeAll(d.Trees)
}

// checkDumpable refuses what no image can hold.
func checkDumpable(s spec.ContainerSpec) error {
	if pid := s.Namespaces.PID; pid != "" && pid != spec.NamespacePrivate {
		return fmt.Errorf("its processes are not in a pid namespace of their own: %w\nhint: leave namespaces.pid out", errors.ErrUnsupported)
	}
	return checkUsers(s)
}

// isMade tells whether a mount shows the container's namespaces, so that who restores makes it anew. What shows the node's to users who may not mount it is not.
func isMade(m proc.Mount, all []proc.Mount, s spec.ContainerSpec) bool {
	if hasUsers(s) && (m.Type == "sysfs" && !OwnsNetwork(s) || m.Type == "mqueue" && s.Namespaces.IPC == spec.NamespaceHost) {
		return false
	}
	return survey.Shown(m, all)
}

// survey looks at the container's processes, for its pipes as well.
func (d *Dump) survey(cgroup string) error {
	p := survey.Processes{Init: d.Instance.Pid, Cgroup: cgroup, Apart: isExec, Outside: map[survey.File]string{}, UserTerminal: !d.Users.IsZero() && d.Instance.Spec.Spec.TTY}
	// No process may have a pipe open in the moment that it is looked at, and some in the next, as shells do: it is named as the keeper has opened it.
	pipes := map[string]string{}
	for _, name := range []string{keeper.FileStdin, keeper.FileStdout, keeper.FileStderr} {
		var st unix.Statx_t
		path := filepath.Join(d.node.instanceDir(d.Instance.Name, d.Instance.ID), name)
		if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st); err != nil {
			continue
		}
		p.Outside[survey.File{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}] = name
		if st.Mask&unix.STATX_MNT_ID != 0 {
			pipes[survey.External(int(st.Mnt_id), st.Ino)] = name
		}
	}
	if d.Instance.Spec.Spec.Init {
		p.InitFile = FileInit
	}
	found, err := p.Look()
	d.Streams, d.Watched, d.sockets = found.Open, found.Watched, found.Sockets
	if err == nil {
		maps.Copy(d.Streams, pipes)
	}
	return err
}

// openOutput opens the pipes that the keeper reads, if the container has such.
func (d *Dump) openOutput() error {
	for _, name := range []string{keeper.FileStdout, keeper.FileStderr} {
		f, err := os.OpenFile(filepath.Join(d.node.instanceDir(d.Instance.Name, d.Instance.ID), name), unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		d.output = append(d.output, f)
	}
	return nil
}

// Notified is what the container has said of itself by now.
func (d *Dump) Notified() (spec.Notified, error) {
	in, err := d.node.known(d.Instance.Name, d.Instance.ID)
	return in.Notified, err
}

// Drained waits until the keeper has read all that the container wrote, whose processes stand still: what is in a pipe then is in the image as well, and would be
// read twice.
func (d *Dump) Drained(ctx context.Context) error {
	pause := 100 * time.Microsecond
	for _, f := range d.output {
		for {
			unread, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ) // FIONREAD by its other name, see pipe(7)
			if err != nil {
				return fmt.Errorf("cannot ask what is in %s: %w", f.Name(), err)
			}
			if unread == 0 {
				break
			}
			select {
			case <-time.After(pause):
				pause = min(2*pause, 10*time.Millisecond)
			case <-ctx.Done():
				return fmt.Errorf("%d bytes of output are not read: %w", unread, context.Cause(ctx))
			}
		}
	}
	return nil
}

// LookAtPrograms brings Programs up to date; it takes little if nothing has changed.
func (d *Dump) LookAtPrograms(ctx context.Context) error {
	pids, err := survey.Pids(d.Cgroup, isExec)
	if err != nil {
		return err
	}
	return d.Programs.Look(ctx, d.Root, pids)
}

func isExec(name string) bool {
	return strings.HasPrefix(name, keeper.ExecPrefix) || strings.HasPrefix(name, keeper.DetachedPrefix)
}

// Connected is survey.Connected, and Listens survey.Listens, of the container's network, and of its sockets alone if that is the node's.
func (d *Dump) Connected() (bool, error) { return survey.Connected(d.Instance.Pid, d.inNode()) }

// Listens is described at Connected.
func (d *Dump) Listens() (bool, error) { return survey.Listens(d.Instance.Pid, d.inNode()) }

// inNode are the container's sockets if others are in its network that are not: nil for all that there are.
func (d *Dump) inNode() map[string]bool {
	if d.Network == 0 && !OwnsNetwork(d.Instance.Spec.Spec) || d.Joins() {
		return d.sockets
	}
	return nil
}

// Joins tells whether the network is another container's, which packets cannot be kept out of for this one.
func (d *Dump) Joins() bool { return d.Instance.Spec.Spec.Network.Mode == spec.NetworkJoin }

// GhostLimit is survey.GhostLimit.
const GhostLimit = survey.GhostLimit

// mounts reads the container's mounts, and opens those of its own in memory.
func (d *Dump) mounts() error {
	pid := d.Instance.Pid
	all, err := survey.Mounts(pid)
	if err != nil {
		return err
	}
	for _, m := range all {
		if ipc := d.Instance.Spec.Spec.Namespaces.IPC; m.Type == "mqueue" && m.Root == "/" && ipc != spec.NamespaceHost {
			if err := survey.Queues(pid, m.Point); err != nil {
				return err
			}
		}
		if isMade(m, all, d.Instance.Spec.Spec) {
			continue
		}
		if err := survey.CheckName(m); err != nil {
			return err
		}
		d.Mounts = append(d.Mounts, m.Point)
		if m.Type == "tmpfs" && m.Root == "/" && !slices.Contains(m.Flags, "ro") {
			tree, err := survey.OpenInside(pid, m.Point, unix.O_DIRECTORY)
			if err != nil {
				return err
			}
			d.Trees[m.Point] = tree
		}
	}
	return d.network()
}

// network finds out whose network the container has.
func (d *Dump) network() error {
	theirs, err := namespace.OfProcess(d.Instance.Pid, namespace.FileNet)
	if err != nil {
		return err
	}
	own, err := namespace.OfProcess(os.Getpid(), namespace.FileNet)
	if err == nil && own != theirs && d.Users.IsZero() {
		d.Network = theirs.Ino
	}
	return err
}

// files opens the container's root, and the directory below its layer.
func (d *Dump) files() (err error) {
	if d.Root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", d.Instance.Pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	r := spec.Defaulted(d.Instance.Spec, d.Instance.Defaults).Spec.Rootfs
	if r.ReadOnly || r.Writable.Medium == spec.MediumDirect {
		return nil
	}
	root, err := rootfs.Open(r.Path)
	if err != nil {
		return err
	}
	d.Lower = root.File()
	return nil
}

// Tool starts a program that saves the container: it finds the files, by their names in t. When Close is called, and when this process dies, it cannot write to
// files any more (EFBIG) and is killed if it has not ended after some seconds; when the node's keeper dies, the next keeper sees to that. However the program ends, the cgroups of all dumps that are given are frozen afterwards if their containers
// were paused, and else thawed. The files stay the caller's.
func (d *Dump) Tool(ctx context.Context, t start.Tool, given map[string]*os.File, all ...*Dump) (_ *keeper.Exec, err error) {
	in := d.Instance
	group, err := d.node.group(in.Name, in.ID)
	if err != nil {
		return nil, err
	}
	files, path, err := group.AsideFiles(keeper.AsidePrefix + rand.Text())
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	defer func() {
		if err != nil {
			_ = unix.Rmdir(path) // unless the keeper has
		}
	}()
	request := keeper.ExecRequest{Key: keeper.Key{Name: in.Name, Instance: in.ID}, Cgroup: path, Files: map[string]*os.File{}}
	for _, one := range all {
		if request.After == nil {
			request.After = map[string]bool{}
		}
		request.After[one.Cgroup] = one.Paused
	}
	if files[start.FileRun], err = d.node.toolRun(); err != nil {
		return nil, err
	}
	groupFiles := map[string]*os.File{cgroup.FileDir: files[cgroup.FileDir]}
	if t.InNetwork {
		if files[namespace.FileNet], err = os.Open(fmt.Sprintf("/proc/%d/ns/net", in.Pid)); err != nil {
			return nil, err
		}
	}
	t.ComposeAside(&request.Program, groupFiles)
	maps.Copy(request.Files, files)
	maps.Copy(request.Files, given)
	if d.run != nil { // of a tool before
		d.node.toolCache.learn(d.run)
		_ = d.run.Close()
	}
	if d.run, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", files[start.FileRun].Fd())); err != nil {
		return nil, err
	}
	return d.node.keeper.Exec(ctx, request)
}

// FreezeTogether freezes the containers of dumps at one moment, those that were paused before included, and gives what ends that: each is then as it was.
// Whoever starts a Tool of one of them names all of them, so that they are thawed if this process dies.
func FreezeTogether(ctx context.Context, dumps []*Dump) (thaw func(context.Context) error, err error) {
	var all, running []*cgroup.Group
	for _, d := range dumps {
		group, err := d.node.group(d.Instance.Name, d.Instance.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, group)
		if !d.Paused {
			running = append(running, group)
		}
	}
	thaw = func(ctx context.Context) error { return cgroup.Thaw(ctx, running...) }
	ctx, cancel := context.WithTimeout(ctx, freezeTimeout)
	defer cancel()
	if err := cgroup.Freeze(ctx, all...); err != nil {
		return nil, errors.Join(err, thaw(context.WithoutCancel(ctx)))
	}
	return thaw, nil
}
