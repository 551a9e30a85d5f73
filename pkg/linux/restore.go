package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Restore is an instance on its way back from an image: a program that makes its processes again runs in its cgroup, and its tree stands at
// start.Stage in that program's mount namespace.
type Restore struct {
	// Pid is the program, on the node.
	Pid int
	// Root is where the tree stands, and Mounts are those of the tree, by their places in the container.
	Root   string
	Mounts []StagedMount
	// Rights are the most that its processes may have.
	Rights Rights
	// Users are the ids of the container's user namespace, the zero value if it has none: it is the program's to make.
	Users mount.IDMap

	node      *Node
	full      spec.Container
	said      spec.Notified
	id        uint64
	start     int // its number
	group     *cgroup.Group
	sysctls   []mount.Sysctl // of the network, if that is the program's to make
	aside     *aside         // what was in the layer
	restoring *keeper.Restoring
}

// StagedMount is a mount that a manifest gives a container.
type StagedMount = survey.Staged

// RestoreFiles are what a restore puts into the container's file systems before its tree stands.
type RestoreFiles interface {
	// Layer fills the empty directory that takes what the container writes into its root, with files of the ids that owners have for the container's.
	Layer(upper *os.File, owners mount.IDMap) error
	// Trees are the places of file systems in memory that are to be filled, and Tree fills one.
	Trees() []string
	Tree(place string, root *os.File, owners mount.IDMap) error
}

// The files that a tool finds beside those that it is given.
const (
	FileStdin  = keeper.FileStdin
	FileStdout = keeper.FileStdout
	FileStderr = keeper.FileStderr
	FileNet    = namespace.FileNet
	FileNull   = survey.Null // a null device of the container's own
	FileInit   = attribute.FileInit
)

const fileStageConsole = "stage console"

// OpenRestore starts a program that restores an instance without processes. It finds the files that t names: those given, which stay the caller's, and
// those above. Said is what the image's run had said of itself: it has a socket to say more if that had one. Claim and Wait, or Close,
// must follow; before the claim nothing is the instance's, and it dies with this process.
func (n *Node) OpenRestore(ctx context.Context, name string, id uint64, t start.Tool, given map[string]*os.File, content RestoreFiles, said spec.Notified) (_ *Restore, err error) {
	in, err := n.known(name, id)
	if err != nil {
		return nil, err
	}
	if live(in) {
		return nil, fmt.Errorf("instance %d is %s: %w", id, in.Phase, fs.ErrExist)
	}
	have, err := n.recordOf(in)
	if err != nil {
		return nil, err
	}
	if err := checkDumpable(have.Spec.Spec); err != nil {
		return nil, err
	}
	group, err := n.group(name, id)
	if err != nil {
		return nil, err
	}
	if err := n.clearGroup(ctx, group, have); err != nil {
		return nil, err
	}
	full, err := n.withConfigs(spec.Defaulted(have.Spec, have.Defaults), in)
	if err != nil {
		return nil, err
	}
	r := &Restore{Root: start.Stage, node: n, full: full, said: said, group: group, id: id, start: in.Starts + 1}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.aside.back())
		}
	}()
	if dir := n.layer(full, id); dir != "" { // whatever its life: the image has what it held
		if r.aside, err = setAside(dir, in, full.Spec.Rootfs.Writable); err != nil {
			return nil, err
		}
		if err := mount.PrepareLayer(dir, full.Spec.Rootfs); err != nil {
			return nil, err
		}
	}
	request, err := n.restoreRequest(ctx, r, id, group, t, content)
	defer closeAll(request.Files)
	if err != nil {
		return nil, err
	}
	request.Files = n.host.LendSavable(request.Files)
	maps.Copy(request.Files, given)
	restoring, err := n.keeper.Restore(ctx, request)
	if err != nil {
		return nil, advised(err, full.Spec, group)
	}
	r.Pid, r.restoring = restoring.Pid, restoring
	r.Mounts, err = survey.At(start.Stage, r.Pid, func(m proc.Mount, all []proc.Mount) bool { return isMade(m, all, full.Spec) })
	if err == nil && !r.Users.IsZero() {
		err = r.flatten()
	}
	if err != nil {
		return nil, errors.Join(err, r.restoring.Close())
	}
	return r, nil
}

// flatten has each mount of the tree stand alone.
func (r *Restore) flatten() (err error) {
	if r.Mounts, err = start.Flatten(r.Pid, r.Mounts); err != nil {
		return err
	}
	for _, m := range r.Mounts {
		if m.Point == "/" {
			r.Root = m.Source
		}
	}
	return nil
}

// restoreRequest composes a restore as Node.start composes a start. The caller closes the request's files, even after an error.
func (n *Node) restoreRequest(ctx context.Context, r *Restore, id uint64, group *cgroup.Group, t start.Tool, content RestoreFiles) (keeper.RestoreRequest, error) {
	full, name := r.full, r.full.Metadata.Name
	request := keeper.RestoreRequest{
		Key:    keeper.Key{Name: name, Instance: id},
		Dir:    n.instanceDir(name, id),
		Log:    n.logOf(full),
		Cgroup: group.Path(),
		OOM:    group.OOMFile(),
		Notify: r.said,
		Files:  map[string]*os.File{},
	}
	var err error
	if r.said.Socket {
		if full, err = n.notifying(full, id); err != nil {
			return request, err
		}
	}
	facts, err := n.facts(full, group)
	if err != nil {
		return request, err
	}
	r.Users = facts.IDs
	plan, err := start.NewPlan(full, facts, n.host)
	if err != nil {
		return request, err
	}
	plan.Mount.Beforehand(content.Trees())
	r.sysctls = slices.DeleteFunc(plan.Mount.Sysctls, func(s mount.Sysctl) bool { return !s.IsNetwork() })
	plan.Mount.Sysctls = r.sysctls // the image has those of its ipc namespace; the tool is in the node's
	if !r.Users.IsZero() {
		plan.Mount.Sysctls = nil // see Connect
	}
	namespaces, err := n.namespaces(ctx, full, facts.IDs)
	maps.Copy(request.Files, namespaces.files)
	if err != nil {
		return request, err
	}
	request.Sandbox = namespaces.kept
	result, err := n.attachBridge(ctx, full, namespaces.files)
	if err != nil {
		return request, err
	}
	if err := n.writeInjected(full, id, result); err != nil {
		return request, err
	}
	if request.Files[start.FileRun], err = n.toolRun(); err != nil {
		return request, err
	}
	if slices.Contains(t.Files, FileNull) {
		if request.Files[FileNull], err = newNull(); err != nil {
			return request, err
		}
	}
	files, err := plan.ComposeRestore(&request.Program, t, group, namespaces.files[namespace.FileUser])
	maps.Copy(request.Files, files.ByName)
	if files.Console != nil { // the stage's own, there for as long as this is open: the container has another, see Claim
		request.Files[fileStageConsole] = files.Console
	}
	if err != nil {
		return request, err
	}
	r.Rights = rights(plan, full.Spec)
	return request, fill(plan.Mount, files.ByName, content)
}

// fill puts what an image holds into the file systems of a plan that are made and not seen by anybody yet.
func fill(plan mount.Plan, files map[string]*os.File, content RestoreFiles) error {
	if layer := files[mount.FileLayer]; layer != nil && !plan.Root.ReadOnly {
		upper, owners, err := plan.Upper(layer)
		if err != nil {
			return err
		}
		defer upper.Close()
		if err := content.Layer(upper, owners); err != nil {
			return err
		}
	}
	for _, place := range content.Trees() {
		name, ok := plan.MadeAt(place)
		if !ok {
			return fmt.Errorf("the image has files for %s, where the manifest has no file system in memory: %w", place, fs.ErrInvalid)
		}
		if err := content.Tree(place, files[name], plan.IDs); err != nil {
			return err
		}
	}
	return nil
}

// Claim names the restored container's first process on the node, before the program lets it go. Console is the master of its terminal, nil for none, and
// stays the caller's. From then on the process is the instance's as soon as the program has ended, whether this process lives or not.
func (r *Restore) Claim(ctx context.Context, pid int, console *os.File) error {
	if err := r.node.noteLock(r.full.Metadata.Name, r.id, r.start); err != nil {
		return err
	}
	return r.restoring.Claim(ctx, pid, console)
}

// Wait waits until the program has ended, after a claim: the instance runs then, and hears packets. After an error there is nothing of it.
func (r *Restore) Wait(ctx context.Context) error {
	_, err := r.restoring.Wait(ctx)
	if err = errors.Join(err, r.restoring.Close()); err == nil {
		name := r.full.Metadata.Name
		if err := errors.Join(r.aside.drop(), r.node.settleLock(context.WithoutCancel(ctx), name, r.id)); err != nil {
			r.node.cfg.Log.Error(err, "restored, but not without a fault", "name", name, "instance", r.id)
		}
	}
	return err
}

// CheckPrograms compares files of the tree with sums that Dump.Programs had: fs.ErrInvalid if one is another.
func (r *Restore) CheckPrograms(ctx context.Context, sums map[string]string) error {
	return survey.CheckPrograms(ctx, start.Stage, r.Pid, sums)
}

// Close gives up what is not claimed: nothing is left of it, and the layer is what it was. It may be repeated.
func (r *Restore) Close() error {
	return errors.Join(r.restoring.Close(), r.aside.back(), r.node.settleLock(context.Background(), r.full.Metadata.Name, r.id))
}

// MadeInDev tells whether a name in a container's /dev is that of something every container finds there, whatever its image holds.
func MadeInDev(name string) bool { return mount.MadeInDev(name) }

// newNull opens a null device for a container whose own is in no mount that it sees, as its standard input is opened: for reading.
func newNull() (*os.File, error) {
	null, err := mount.NewNull()
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", null.Fd()))
}

// WorkDir opens a directory of an instance for what a tool writes beside its work: a log, say. What is in there of an earlier one is gone; the rest goes with
// the instance.
func (n *Node) WorkDir(name string, id uint64) (*os.File, error) {
	if _, err := n.group(name, id); err != nil {
		return nil, err
	}
	dir := filepath.Join(n.instanceDir(name, id), "criu")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
