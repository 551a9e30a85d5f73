package linux

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sandboxPool is how many sandboxes are kept ready: making one is a fifth of a container start.
const sandboxPool = 2

// sandbox gives the namespaces that belong to the container's name: those the keeper has kept since an earlier start or, at
// the first start and when the manifest wants others, new ones. The caller closes the files.
func (n *Node) sandbox(ctx context.Context, c spec.Container) (keeper.Sandbox, map[string]*os.File, error) {
	want := keeper.Sandbox{Key: sandboxKey(c.Metadata.Name, c.Spec.Group), Shape: shape(c.Spec)}
	for _, k := range namespace.Kinds {
		if k.Sandbox && k.Wanted(c.Spec) == namespace.New {
			want.Kinds = append(want.Kinds, k.Name)
		}
	}
	if len(want.Kinds) == 0 {
		return keeper.Sandbox{}, nil, nil
	}
	kept, files, err := n.keeper.Sandbox(ctx, want.Key)
	if err != nil || kept.Shape == want.Shape && kept.Key == want.Key {
		return kept, files, err
	}
	closeAll(files)
	files, err = n.makeSandbox(c.Spec, want.Kinds)
	if err != nil {
		return keeper.Sandbox{}, nil, fmt.Errorf("cannot make the namespaces of %q: %w", want.Key, err)
	}
	return want, files, nil
}

// shape says how a container's sandbox is made: equal ones can take each other's place.
func shape(s spec.ContainerSpec) string {
	return fmt.Sprintf("net=%s ipc=%s uts=%s", s.Network.Mode, s.Namespaces.IPC, s.Namespaces.UTS)
}

// makeSandbox makes namespaces of the given kinds.
func (n *Node) makeSandbox(s spec.ContainerSpec, kinds []string) (map[string]*os.File, error) {
	made, err := n.pool.Take(s.Network.Mode)
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
