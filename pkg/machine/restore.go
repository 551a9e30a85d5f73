package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Restore starts an instance from an image; see reconcile.Node.
func (n *Node) Restore(ctx context.Context, name string, instance uint64, ref string) (err error) {
	defer func() { err = about("restore", name, err) }()
	tool, err := n.criu(ctx)
	if err != nil {
		return err
	}
	in, err := n.instance(ctx, name, instance)
	if err != nil {
		return err
	}
	if in.Phase == spec.InstanceRunning || in.Phase == spec.InstancePaused {
		return nil
	}
	r, err := n.restoring(ctx, tool, in, ref)
	if err != nil {
		return err
	}
	defer r.source.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, r.patience(), errSlow(r.patience()))
	defer cancel()
	if err = r.restore(ctx); errors.Is(err, errNoFeeder) && ctx.Err() == nil {
		r.comesFirst(err)
		r.eager = true
		err = r.restore(ctx)
	}
	return err
}

// CanRestore says what Restore would say before it starts anything; see reconcile.Node.
func (n *Node) CanRestore(ctx context.Context, in spec.Instance, ref string) error {
	tool, err := n.criu(ctx)
	if err != nil || ref == "" {
		return err
	}
	r, err := n.restoring(ctx, tool, in, ref)
	if err != nil {
		return err
	}
	return r.source.Close()
}

// restoring opens an image for an instance that it fits. The caller closes the source.
func (n *Node) restoring(ctx context.Context, tool criu.Tool, in spec.Instance, ref string) (*restoring, error) {
	source, err := n.images.Acquire(ref)
	if err != nil {
		return nil, err
	}
	r := &restoring{node: n, tool: tool, instance: in, source: source}
	if err := r.check(ctx); err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return r, nil
}

// instance observes one instance; fs.ErrNotExist if it is not there.
func (n *Node) instance(ctx context.Context, name string, id uint64) (spec.Instance, error) {
	all, err := n.ObserveOne(ctx, name)
	if err != nil {
		return spec.Instance{}, err
	}
	for _, in := range all {
		if in.ID == id && in.Phase != spec.InstanceBroken {
			return in, nil
		}
	}
	return spec.Instance{}, fmt.Errorf("instance %d: %w", id, fs.ErrNotExist)
}

// restoring is an instance that is being restored.
type restoring struct {
	node     *Node
	tool     criu.Tool
	instance spec.Instance
	source   *image.Reader
	backend  backend
	eager    bool // memory comes first, whatever the manifest says
}

// slowly is how long so many bytes take on a slow disk.
func slowly(bytes uint64) time.Duration {
	const slowest = 20 << 20 // bytes a second
	return time.Duration(bytes/slowest) * time.Second
}

// patience is how long a restore may take: a start, and reading its memory.
func (r *restoring) patience() time.Duration {
	return criuPatience + slowly(uint64(r.source.Image().Memory))
}

// check refuses an image that is damaged, or not of this container. Nothing has been started yet.
func (r *restoring) check(ctx context.Context) error {
	if err := r.source.Verify(ctx); err != nil {
		return err
	}
	img := r.source.Image()
	if err := r.source.Fits(r.here()); err != nil {
		return err
	}
	if err := spec.Restorable(img, r.instance.Spec, r.instance.Defaults); err != nil {
		return err
	}
	text, err := r.source.ReadFile(fileBackend)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.backend); err != nil {
		return fmt.Errorf("cannot understand %s of the image %s: %v: %w", fileBackend, img.Ref(), err, fs.ErrInvalid)
	}
	return nil
}

// restore makes the processes again.
func (r *restoring) restore(ctx context.Context) (err error) {
	in := r.instance
	conn, theirs, err := criu.Pair()
	if err != nil {
		return err
	}
	defer conn.Close()
	work, err := r.node.WorkDir(in.Name, in.ID)
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	defer work.Close()
	tool, inherit := r.files()
	if tool.InNetwork && !r.node.KnowsKernel() { // it connects to itself, to find out, and would wait for ever in a network that is locked for another image
		if err := r.node.Unlock(ctx, in.Name, in.Spec.Spec.Group); err != nil {
			return errors.Join(err, theirs.Close())
		}
	}
	staged, err := r.node.OpenRestore(ctx, in.Name, in.ID, tool, map[string]*os.File{fileSocket: theirs}, content{ctx, r}, r.backend.Notified)
	if err := errors.Join(err, theirs.Close()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, staged.Close()) }()
	conn.Kill = func() { _ = staged.Close() }
	if err := r.source.Check(ctx, policy(r.instance.Spec.Spec, staged)); err != nil {
		return err
	}
	if err := staged.CheckPrograms(ctx, r.backend.Programs); err != nil {
		return fmt.Errorf("the image %s does not fit: %w", r.source.Image().Ref(), err)
	}
	images, err := r.images(ctx)
	if err != nil {
		return err
	}
	defer images.Close()
	isFed := false
	defer func() {
		if dir := r.node.unpackedDir(in.Name, in.ID, in.Starts+1); err != nil || !isFed {
			err = errors.Join(err, os.RemoveAll(dir))
		} else if r.source.IsPacked() {
			r.node.removeFilled(in, dir)
		}
	}()
	options, err := r.options(images, work, staged, inherit)
	if err != nil {
		return err
	}
	if isFed, err = r.feed(ctx, staged, images, work); err != nil {
		return err
	}
	options.LazyPages = isFed
	ctx, keep, end := keepable(ctx)
	defer end()
	isClaimed := false
	var console *os.File
	defer func() { closeFile(console) }()
	hold := func() error {
		if !options.LazyPages {
			return nil
		}
		return staged.Hold(ctx)
	}
	notify := criu.Notify{
		OrphanPTSMaster: func(master *os.File) error {
			if console != nil {
				return errors.Join(fmt.Errorf("the image has two terminals without a master: %w", fs.ErrInvalid), master.Close())
			}
			console = master
			return nil
		},
		PostRestore: func(pid int) error { // criu heeds no refusal later
			if err := errors.Join(staged.Settle(pid), staged.SetThreads(r.backend.Threads), hold()); err != nil {
				return err
			}
			if err := r.node.NoteConfigs(in, r.source.Image().Restored(in)); err != nil { // should it not come, the next start notes its own
				return err
			}
			if err := keep(); err != nil {
				return err
			}
			// What is killed after this point says to others that its connections are no more: packets are let in again, and sockets are what they were.
			err := staged.Claim(ctx, pid, console)
			isClaimed = err == nil
			return err
		},
		PreResume: hold,
	}
	r.settle(ctx, staged, options.EmptyNetwork, &notify)
	_, err = conn.Restore(ctx, options, notify)
	if err != nil && !isClaimed {
		return err
	}
	if failed := errors.Join(conn.Close(), staged.Wait(ctx)); failed != nil {
		return errors.Join(err, failed)
	}
	if err != nil {
		r.node.cfg.Log.Error(err, "restored, but not without a fault", "name", in.Name, "instance", in.ID)
	}
	return nil
}

// keepable is a context that ends with another one until keep is called, and then after criu's patience: what cannot be taken back is waited for.
func keepable(parent context.Context) (ctx context.Context, keep func() error, end func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { cancel(context.Cause(parent)) })
	var late *time.Timer
	keep = func() error {
		if !stop() {
			return context.Cause(parent)
		}
		late = time.AfterFunc(criuPatience, func() { cancel(errSlow(criuPatience)) })
		return nil
	}
	return ctx, keep, func() {
		stop()
		if late != nil {
			late.Stop()
		}
		cancel(nil)
	}
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}

// files are the descriptors that criu finds, and which of them stand for what the image does not have.
func (r *restoring) files() (start.Tool, map[string]int) {
	names := []string{fileSocket}
	inherit := map[string]int{}
	for _, file := range slices.Sorted(maps.Keys(r.backend.Streams)) {
		name := r.backend.Streams[file]
		if !slices.Contains([]string{linux.FileStdin, linux.FileStdout, linux.FileStderr, linux.FileNull, linux.FileInit}, name) {
			continue // an image that was made up: criu will miss the file
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		inherit[file] = firstFile + slices.Index(names, name)
	}
	if r.backend.Network {
		names = append(names, linux.FileNet)
		inherit[keyNetwork] = firstFile + len(names) - 1
	}
	return start.Tool{Argv: r.tool.Command(firstFile), Files: names, InNetwork: r.backend.Inside}, inherit
}

// options say what criu finds where.
func (r *restoring) options(images, work *os.File, staged *linux.Restore, inherit map[string]int) (criu.Options, error) {
	policy := r.instance.Spec.Spec.Checkpoint
	o := criu.Options{
		ImagesDir: images, WorkDir: work, Root: staged.Root, Inherit: inherit, SiblingOfCaller: true, FileLocks: true, LinkRemap: true,
		TCPEstablished: policy.TCP != spec.TCPClose, TCPClose: policy.TCP == spec.TCPClose, WeakSysctls: true, OrphanPTSMaster: r.instance.Spec.Spec.TTY,
		NetworkLock: r.node.networkLock(),
	}
	if err := sameUsers(r.backend.Users, staged.Users); err != nil {
		return o, err
	}
	if o.JoinNamespaces = r.joined(staged.Pid); !staged.Users.IsZero() {
		o.JoinNamespaces, o.EmptyNetwork = nil, linux.OwnsNetwork(r.instance.Spec.Spec)
	}
	if r.backend.Inside { // nobody had a connection
		o.NetworkLock = criu.NoLock
	}
	for _, place := range r.backend.Mounts {
		i := slices.IndexFunc(staged.Mounts, func(m linux.StagedMount) bool { return m.Point == place && !m.Made })
		if i < 0 {
			return o, fmt.Errorf("the image has a mount at %s, and its manifest has none: %w", place, fs.ErrInvalid)
		}
		o.Externals = append(o.Externals, criu.Mount(place, staged.Mounts[i].Source))
	}
	return o, nil
}

// joined are the namespaces that outlive a container's processes, and are its group's: the tool is in them already. criu looks for them from within a process that has others.
func (r *restoring) joined(tool int) (all []criu.JoinNamespace) {
	s := r.instance.Spec.Spec
	own := func(word string) bool { return word == "" || word == spec.NamespacePrivate }
	if own(s.Namespaces.UTS) {
		all = append(all, criu.JoinNamespace{Kind: "uts", Path: fmt.Sprintf("/proc/%d/ns/uts", tool)})
	}
	if own(s.Namespaces.IPC) && s.Group != "" {
		all = append(all, criu.JoinNamespace{Kind: "ipc", Path: fmt.Sprintf("/proc/%d/ns/ipc", tool)})
	}
	return all
}

// content is what an image puts into a container's file systems.
type content struct {
	ctx context.Context
	r   *restoring
}

func (c content) Layer(upper *os.File, owners mount.IDMap) error {
	f, err := c.r.source.Open(fileLayer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := c.r.source.ReadFile(fileDeleted)
	if err != nil {
		return err
	}
	deleted, err := tree.DecodeDeleted(text)
	if err != nil {
		return fmt.Errorf("%s: %w", fileDeleted, err)
	}
	options := c.r.owned(owners)
	options.Whiteouts = true
	return tree.Apply(c.ctx, upper, f, deleted, options)
}

func (c content) Trees() []string { return slices.Sorted(maps.Keys(c.r.backend.Trees)) }

func (c content) Tree(place string, root *os.File, owners mount.IDMap) error {
	f, err := c.r.source.Open(c.r.backend.Trees[place])
	if err != nil {
		return err
	}
	defer f.Close()
	options := c.r.owned(owners)
	options.Clear = true // of what the rootfs has there
	return tree.Apply(c.ctx, root, f, nil, options)
}
