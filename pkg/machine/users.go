package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sameUsers refuses an image of other users than the container has: its user namespace is made by criu, with the maps that are in the image.
func sameUsers(image, now mount.IDMap) error {
	if slices.Equal(image.UIDs, now.UIDs) && slices.Equal(image.GIDs, now.GIDs) {
		return nil
	}
	return fmt.Errorf("the image is of users %v and groups %v, the container has %v and %v: %w", image.UIDs, image.GIDs, now.UIDs, now.GIDs, errors.ErrUnsupported)
}

// owned says which ids files get whose ids in an archive are those that the node had for the container's.
func (r *restoring) owned(owners mount.IDMap) tree.Options {
	if r.backend.Users.IsZero() {
		return tree.Options{}
	}
	uids, gids := mount.IDMap{UIDs: inverse(r.backend.Users.UIDs)}, mount.IDMap{GIDs: inverse(r.backend.Users.GIDs)}
	return tree.Options{
		UID: func(id uint32) (uint32, bool) { return through(uids.UID, owners.UID, id) },
		GID: func(id uint32) (uint32, bool) { return through(gids.GID, owners.GID, id) },
	}
}

// settle has a container get what criu does not give it, before it runs. Its network is attached, if criu has made one, when packets are kept out of it already.
func (r *restoring) settle(ctx context.Context, staged *linux.Restore, network bool, notify *criu.Notify) {
	first := 0
	notify.SetupNamespaces = func(pid int) error { first = pid; return nil }
	notify.PostSetupNamespaces = func() error {
		if !network {
			return nil
		}
		return staged.Connect(ctx, first)
	}
}

// inverse are the rows that lead back.
func inverse(rows []spec.IDMapping) []spec.IDMapping {
	back := slices.Clone(rows)
	for i, r := range rows {
		back[i].ContainerID, back[i].HostID = r.HostID, r.ContainerID
	}
	return back
}

// through goes from an id of the node by way of the container's.
func through(inside, owner func(uint32) (uint32, bool), id uint32) (uint32, bool) {
	id, ok := inside(id)
	if !ok {
		return 0, false
	}
	return owner(id)
}
