package simnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// image is a checkpoint: what a node shows of it, and what is in it.
type image struct {
	spec.Image
	program  program       // of the process, with the time that was left to it
	notified spec.Notified // what the process had said of itself
	hidden   string        // what is wrong with it, before anybody has looked
	poisoned bool          // its process soon ends
}

// What an image takes on this machine, whatever is in it.
const (
	imageBytes  = 1 << 20
	imageFrozen = spec.Duration(10 * time.Millisecond)
)

// errFull is a disk without room.
var errFull = fmt.Errorf("cannot write the image: %w", syscall.ENOSPC)

// checkpoint takes images of an instance and of the live ones of its group, and ends them if that is asked for.
func (m *Machine) checkpoint(name string, id uint64, o spec.CheckpointOptions, f imageFault) (spec.Image, error) {
	in, err := m.usable(name, id)
	switch {
	case err != nil:
		return spec.Image{}, err
	case !live(in):
		return spec.Image{}, fmt.Errorf("instance %d of %q is %s: %w", id, name, in.Phase, spec.ErrNotRunning)
	case m.unable != nil:
		return spec.Image{}, m.unable
	}
	verb := "Checkpoint"
	if o.Stop {
		verb = "Suspend"
	}
	m.judge(verb, name, id)
	m.refused[name] = m.uncheckpointable[name] || f == imageRefused
	switch {
	case m.refused[name]:
		return spec.Image{}, fmt.Errorf("%q has a socket that cannot be saved: %w", name, errors.ErrUnsupported)
	case m.full || f == imageFull:
		return spec.Image{}, errFull
	}
	members := m.together(in)
	set := ""
	if len(members) > 1 {
		set = in.Spec.Spec.Group + "/" + m.nextID(name)
	}
	var taken spec.Image
	for _, member := range members {
		i := m.take(member, o, set, f)
		if member == in {
			taken = i.Image
		}
	}
	if f == imageUncut {
		return taken, errors.New("the image is complete, but its processes run on")
	}
	for _, member := range members {
		if o.Stop {
			m.images[member.Name][len(m.images[member.Name])-1].Stopped = true
			m.exit(member, 128+9, "SIGKILL", spec.ExitCheckpointed)
		}
		m.retain(member)
	}
	taken.Stopped = o.Stop
	return taken, nil
}

// together are an instance and the live ones of its group, in the order of their names.
func (m *Machine) together(in *instance) (members []*instance) {
	group := in.Spec.Spec.Group
	if group == "" {
		return []*instance{in}
	}
	for _, name := range m.names() {
		for _, other := range m.instances[name] {
			if live(other) && other.Spec.Spec.Group == group {
				members = append(members, other)
			}
		}
	}
	return members
}

// take commits one image.
func (m *Machine) take(in *instance, o spec.CheckpointOptions, set string, f imageFault) *image {
	i := &image{program: in.program, notified: in.Notified, Image: spec.Image{
		Container: in.Name, ID: m.nextID(in.Name), Set: set, CreatedAt: time.Now().Round(0), Cause: o.Cause, Instance: in.ID, Starts: in.Starts, StartedAt: in.StartedAt,
		Hash: in.Hash, Defaults: in.Defaults, Spec: in.Spec, Configs: spec.SeenConfigs(in.Instance), Bytes: imageBytes, Memory: imageBytes, Frozen: imageFrozen, Took: imageFrozen, Kept: o.Keep,
	}}
	if in.program.ends && in.Phase == spec.InstanceRunning {
		i.program.after = max(0, time.Until(in.endsAt))
	}
	switch f {
	case imageDamaged:
		i.hidden = "pages-1.img is damaged"
	case imagePoisoned:
		i.poison(time.Second)
	}
	m.images[in.Name] = append(m.images[in.Name], i)
	return i
}

// poison makes the process of an image end soon after it was restored.
func (i *image) poison(after time.Duration) {
	i.program.ends, i.program.after, i.program.code, i.poisoned = true, after, 1, true
}

// nextID is an id after that of every image of the name.
func (m *Machine) nextID(name string) string {
	at := time.Now()
	for {
		utc := at.UTC()
		id := fmt.Sprintf("%s%03d", utc.Format("20060102-150405"), utc.Nanosecond()/int(time.Millisecond))
		if id > m.newest[name] {
			m.newest[name] = id
			return id
		}
		at = at.Add(time.Millisecond)
	}
}

// retain removes the images that a container's manifest no longer wants: never the last good one, never one that is kept.
func (m *Machine) retain(in *instance) {
	c := in.Spec.Spec.Checkpoint
	all := m.images[in.Name]
	last := lastGood(all)
	loose := slices.DeleteFunc(slices.Clone(all), func(i *image) bool { return i.Kept })
	bytes := spec.Bytes(imageBytes * len(loose))
	for n, i := range loose {
		over := len(loose)-n > c.Kept() || c.MaxBytes > 0 && bytes > c.MaxBytes || c.MaxAge > 0 && time.Since(i.CreatedAt) > time.Duration(c.MaxAge)
		if over && i != last {
			bytes -= i.Bytes
			m.dropImage(i)
		}
	}
}

// lastGood is the newest image that nothing is known to speak against.
func lastGood(all []*image) *image {
	for _, i := range slices.Backward(all) {
		if i.Problem == "" {
			return i
		}
	}
	return nil
}

func (m *Machine) dropImage(gone *image) {
	name := gone.Container
	if m.images[name] = slices.DeleteFunc(m.images[name], func(i *image) bool { return i == gone }); len(m.images[name]) == 0 {
		delete(m.images, name)
	}
}

// forget removes what a name leaves on disk when no instance of it will come again.
func (m *Machine) forget(name string, id uint64) {
	all := slices.DeleteFunc(slices.Clone(m.images[name]), func(i *image) bool { return i.Kept })
	if len(all) > 0 {
		m.judge("RemoveImages", name, id)
	}
	for _, i := range all {
		m.dropImage(i)
	}
}

// restore begins a run from an image.
func (m *Machine) restore(name string, id uint64, ref string) error {
	in, err := m.usable(name, id)
	if err != nil || live(in) {
		return err
	}
	if m.unable == nil && m.findImage(ref) != nil {
		m.judge("Restore", name, id)
	}
	if err := m.canRestore(in.Instance, ref); err != nil {
		return err
	}
	i, before := m.findImage(ref), in.Instance
	if err := m.configured(in); err != nil {
		return err
	}
	in.Configs = i.Restored(before)
	m.begin(in, i.program)
	in.Notified = i.notified
	return nil
}

// canRestore looks at an image as a restore does.
func (m *Machine) canRestore(in spec.Instance, ref string) error {
	if m.unable != nil || ref == "" {
		return m.unable
	}
	i := m.findImage(ref)
	if i == nil {
		return fmt.Errorf("no image %s: %w", ref, fs.ErrNotExist)
	}
	if i.hidden != "" {
		i.Problem = i.hidden
	}
	if i.Problem != "" {
		return fmt.Errorf("image %s: %s: %w", ref, i.Problem, fs.ErrInvalid)
	}
	if err := spec.Restorable(i.Image, in.Spec, in.Defaults); err != nil {
		if in.Spec.Metadata.Name != "" { // it may have lost its record since somebody looked
			m.misfits = append(m.misfits, err.Error())
		}
		return err
	}
	return nil
}

func (m *Machine) findImage(ref string) *image {
	name, _, _ := strings.Cut(ref, "/")
	for _, i := range m.images[name] {
		if i.Ref() == ref {
			return i
		}
	}
	return nil
}

// shownImages are the images of one name, or of all for "", oldest first.
func (m *Machine) shownImages(name string) (list []spec.Image) {
	for _, of := range slices.Sorted(maps.Keys(m.images)) {
		for _, i := range m.images[of] {
			if name == "" || name == of {
				list = append(list, i.Image)
			}
		}
	}
	slices.SortFunc(list, func(a, b spec.Image) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Container, b.Container))
	})
	return list
}

// Checkpoint takes an image of an instance in memory.
func (n *Node) Checkpoint(ctx context.Context, name string, id uint64, o spec.CheckpointOptions) (i spec.Image, err error) {
	n.machine.mu.Lock()
	slow := n.machine.slow
	n.machine.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return i, fmt.Errorf("the image was given up: %w", ctx.Err())
	}
	err = n.meet(ctx, "Checkpoint", name, func(f fate) error { i, err = n.machine.checkpoint(name, id, o, f.image); return err })
	return i, err
}

// CanRestore looks at an image in memory, and is not disturbed.
func (n *Node) CanRestore(_ context.Context, in spec.Instance, image string) error {
	n.machine.mu.Lock()
	defer n.machine.mu.Unlock()
	return n.machine.canRestore(in, image)
}

// Restore starts an instance from an image.
func (n *Node) Restore(ctx context.Context, name string, id uint64, image string) error {
	return n.do(ctx, "Restore", name, func() error { return n.machine.restore(name, id, image) })
}

// Images lists images.
func (n *Node) Images(ctx context.Context, name string) (list []spec.Image, err error) {
	err = n.do(ctx, "Images", name, func() error { list = n.machine.shownImages(name); return nil })
	return list, err
}

// RemoveImage removes one.
func (n *Node) RemoveImage(ctx context.Context, ref string) error {
	name, _, _ := strings.Cut(ref, "/")
	return n.do(ctx, "RemoveImage", name, func() error {
		if i := n.machine.findImage(ref); i != nil {
			n.machine.dropImage(i)
		}
		return nil
	})
}
