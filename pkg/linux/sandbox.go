package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sandboxPool is how many sandboxes are kept ready: making one is a fifth of a container start.
const sandboxPool = 2

// namespaces are those that a start joins, by kind, and which of them the keeper is to keep.
type namespaces struct {
	files map[string]*os.File
	kept  keeper.Sandbox
}

// namespaces opens those that a start of a container joins: others' by its manifest's words, and its own, with the given ids. The caller
// closes the files, even after an error.
func (n *Node) namespaces(ctx context.Context, c spec.Container, ids mount.IDMap) (all namespaces, err error) {
	if all.files, err = n.joined(c.Spec); err != nil {
		return all, err
	}
	kept, own, err := n.sandbox(ctx, c, ids, all.files[namespace.FileUser])
	maps.Copy(all.files, own)
	all.kept = kept
	if err == nil && own[namespace.FileNet] != nil {
		err = savable(c.Spec, own[namespace.FileNet])
	}
	return all, err
}

// sandbox gives the namespaces that belong to the container's name: those the keeper has kept since an earlier start or, at
// the first start and when the manifest wants others, new ones. They belong to the container's user namespace, which is one of them unless it is
// another's. The caller closes the files.
func (n *Node) sandbox(ctx context.Context, c spec.Container, ids mount.IDMap, user *os.File) (keeper.Sandbox, map[string]*os.File, error) {
	want := keeper.Sandbox{Key: sandboxKey(c.Metadata.Name, c.Spec.Group), Shape: shape(c.Spec, ids)}
	for _, k := range namespace.Kinds {
		if k.Sandbox && k.Wanted(c.Spec) == namespace.New {
			want.Kinds = append(want.Kinds, k.Name)
		}
	}
	if !ids.IsZero() && user == nil {
		want.Kinds = append(want.Kinds, namespace.FileUser)
	}
	if len(want.Kinds) == 0 {
		return keeper.Sandbox{}, nil, nil
	}
	if c.Spec.Group != "" {
		n.groupLock.Lock()
		defer n.groupLock.Unlock()
	}
	kept, files, err := n.keeper.Sandbox(ctx, want.Key)
	if err != nil || kept.Shape == want.Shape && kept.Key == want.Key {
		return kept, files, err
	}
	closeAll(files)
	if ids.IsZero() {
		files, err = n.makeSandbox(c.Spec, want.Kinds)
	} else {
		files, err = makeSandboxOf(c.Spec, want.Kinds, ids, user)
	}
	if err != nil {
		return keeper.Sandbox{}, nil, fmt.Errorf("cannot make the namespaces of %q: %w", want.Key, err)
	}
	if c.Spec.Group != "" { // whose other containers may be starting too
		err = n.keeper.Keep(ctx, want, files)
	}
	return want, files, err
}

// shape says how a container's sandbox is made: equal ones can take each other's place.
func shape(s spec.ContainerSpec, ids mount.IDMap) string {
	return fmt.Sprintf("net=%s%s ipc=%s uts=%s users=%s%v%v", s.Network.Mode, s.Network.Join, s.Namespaces.IPC, s.Namespaces.UTS, s.Namespaces.User.Join, ids.UIDs, ids.GIDs)
}

// makeSandbox makes namespaces of the given kinds.
func (n *Node) makeSandbox(s spec.ContainerSpec, kinds []string) (map[string]*os.File, error) {
	mode := s.Network.Mode
	if mode == spec.NetworkBridge { // which is a private one until it is attached
		mode = spec.NetworkPrivate
	}
	made, err := n.pool.Take(mode)
	if err != nil {
		return nil, err
	}
	all := map[string]*os.File{namespace.FileNet: made.Net, namespace.FileIPC: made.IPC, namespace.FileUTS: made.UTS}
	files := map[string]*os.File{}
	for _, kind := range kinds {
		files[kind], all[kind] = all[kind], nil
	}
	for _, f := range all {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return files, err
}

// makeSandboxOf makes namespaces of the given kinds that belong to a user namespace: user, or a new one with the given ids.
func makeSandboxOf(s spec.ContainerSpec, kinds []string, ids mount.IDMap, user *os.File) (files map[string]*os.File, err error) {
	own := slices.Contains(kinds, namespace.FileUser)
	if own {
		if user, err = namespace.NewUser(ids.UIDs, ids.GIDs); err != nil {
			return nil, err
		}
	}
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return kind == namespace.FileUser })
	if files, err = namespace.NewIn(user, kinds, slices.Contains([]spec.NetworkMode{"", spec.NetworkPrivate, spec.NetworkBridge}, s.Network.Mode)); err != nil {
		if own {
			user.Close()
		}
		return nil, err
	}
	if own {
		files[namespace.FileUser] = user
	}
	return files, nil
}

// joined opens the namespaces that a container joins by its manifest's word. The caller closes them, even after an error.
func (n *Node) joined(s spec.ContainerSpec) (map[string]*os.File, error) {
	files := map[string]*os.File{}
	open := func(word, kind string, flag int) error {
		f, err := n.openJoined(word, kind, flag)
		if err == nil {
			files[kind] = f
		}
		return err
	}
	for _, k := range namespace.Kinds {
		if k.Wanted(s) != namespace.Joined {
			continue
		}
		if err := open(k.Of(s), k.Name, k.Flag); err != nil {
			return files, err
		}
	}
	if s.Namespaces.User.Mode == spec.UserJoin {
		return files, open(s.Namespaces.User.Join, namespace.FileUser, unix.CLONE_NEWUSER)
	}
	return files, nil
}

// openJoined opens a namespace by a manifest's word: that of another container's process, or the one at a path.
func (n *Node) openJoined(word, kind string, flag int) (*os.File, error) {
	name, isContainer := spec.JoinedContainer(word)
	if !isContainer {
		return namespace.Open(word, flag)
	}
	ids, err := n.instances(name)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(ids) {
		in, err := n.look(name, id)
		if err != nil {
			return nil, err
		}
		if live(in) {
			target, err := n.target(name, id)
			if err != nil {
				return nil, err
			}
			defer target.Close()
			f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", in.Pid, kind))
			if err == nil {
				err = target.Lives()
			}
			return f, err
		}
	}
	return nil, fmt.Errorf("cannot join the %s namespace of %q: %w", kind, name, spec.ErrNotRunning)
}
