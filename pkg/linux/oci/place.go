package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup/systemd"
)

// ownParent is above the cgroups of containers whose configuration says none, or a relative one; scopePrefix begins the names of scopes that it does not name.
const (
	ownParent   = "reconciler-oci"
	scopePrefix = "reconciler"
)

// place says where a container's cgroup is.
func (r *Runtime) place(id string, t Translation) (group string, scope *systemd.Scope, err error) {
	if r.Systemd {
		s, err := systemd.ParseScope(t.CgroupsPath, scopePrefix, id)
		if err != nil {
			return "", nil, err
		}
		group, err = s.Path()
		return group, &s, err
	}
	if strings.Contains(t.CgroupsPath, ":") && !strings.HasPrefix(t.CgroupsPath, "/") {
		return "", nil, fmt.Errorf("cgroupsPath %q is one for systemd: %w\nhint: say --systemd-cgroup", t.CgroupsPath, fs.ErrInvalid)
	}
	switch said := t.CgroupsPath; {
	case said == "":
		group = path.Join(ownParent, id)
	case path.IsAbs(said):
		group = path.Clean(said)[1:]
	default:
		if group = path.Join(ownParent, path.Join("/", said)); group == ownParent {
			group = path.Join(ownParent, id)
		}
	}
	if group == "" {
		return "", nil, fmt.Errorf("cgroupsPath %q is every cgroup: %w", t.CgroupsPath, fs.ErrInvalid)
	}
	return group, nil, nil
}

// enterScope has systemd make the scope with the waiting child in it.
func (m *making) enterScope(ctx context.Context, _ int) (err error) {
	tree, err := m.tree()
	if err != nil {
		return err
	}
	if len(tree.V1) > 0 {
		return fmt.Errorf("scopes need a node with cgroup v2 alone: %w", errors.ErrUnsupported)
	}
	if err := systemd.StartScope(ctx, *m.rec.Scope, m.child.Pid, m.t.Container.Spec.Resources, m.t.Annotations); err != nil {
		return err
	}
	m.rec.Owned = true
	_ = m.group.Close()
	if m.group, err = m.Runtime.group(m.rec); err != nil { // sees the controllers that it has now
		return err
	}
	if err := errors.Join(m.mark(m.rec, m.group), m.dir.writeJSON(stateFile, m.rec)); err != nil {
		return err
	}
	return m.limit()
}

// dismantle ends whatever is in a container's cgroup, and removes it. A cgroup that was there before stays if there never was a container in it, as it
// was if it never was the container's; else it goes with the container, as engines know it.
func (r *Runtime) dismantle(ctx context.Context, rec record, group *cgroup.Group) error {
	isOurs, stays := rec.Owned || r.marked(rec, group), rec.Found && !rec.Made
	if isOurs && stays {
		killEach(ctx, group)
	}
	switch {
	case isOurs:
		if err := gone(r.end(ctx, group)); err != nil {
			return err
		}
	case rec.Found:
		return nil
	default: // made, perhaps, by a runtime that died before it could say so
		if state, err := group.State(); err != nil || state.Populated {
			return gone(err)
		}
	}
	if rec.Scope != nil {
		if err := systemd.StopScope(ctx, *rec.Scope); err != nil {
			return err
		}
	}
	if stays {
		return gone(group.SetIdentity(cgroup.Identity{}))
	}
	return group.Remove(ctx)
}

// killEach kills the processes of a cgroup one by one. Where cgroup.kill was written to, the kernel may kill at birth whatever is started later.
func killEach(ctx context.Context, group *cgroup.Group) {
	const rounds, pause = 100, 2 * time.Millisecond
	for range rounds {
		pids, err := group.Procs()
		if err != nil || len(pids) == 0 || signalIn(group, pids, unix.SIGKILL) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// mark writes into a cgroup whose it is, so that this is known without the record.
func (r *Runtime) mark(rec record, group *cgroup.Group) error {
	return group.SetIdentity(cgroup.Identity{Hash: path.Join(r.Root, rec.ID), BootID: rec.BootID})
}

func (r *Runtime) marked(rec record, group *cgroup.Group) bool {
	id, err := group.Identity()
	return err == nil && id.Hash == path.Join(r.Root, rec.ID)
}

// end kills everything in a cgroup, if there is anything, and waits until it is gone.
func (r *Runtime) end(ctx context.Context, group *cgroup.Group) error {
	if state, err := group.State(); err == nil && !state.Populated {
		return nil
	}
	if err := group.Kill(); err != nil {
		return err
	}
	if err := group.Wait(ctx, func(s cgroup.State) bool { return !s.Populated }); err != nil {
		return fmt.Errorf("cannot end the processes of %s: %w", group, err)
	}
	return nil
}
