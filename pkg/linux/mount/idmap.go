package mount

import (
	"fmt"
	"io/fs"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// IDMap says which ids of the node a container's are. The zero value maps each id to itself: no user namespace.
// UIDs and GIDs are lines of uid_map and gid_map, see user_namespaces(7).
type IDMap struct{ UIDs, GIDs []spec.IDMapping }

// IsZero tells whether there is no user namespace.
func (m IDMap) IsZero() bool { return len(m.UIDs) == 0 && len(m.GIDs) == 0 }

// UID is the node's user id for one of the container; false if it has none.
func (m IDMap) UID(id uint32) (uint32, bool) { return mapped(m.UIDs, id, m.IsZero()) }

// GID is the node's group id for one of the container; false if it has none.
func (m IDMap) GID(id uint32) (uint32, bool) { return mapped(m.GIDs, id, m.IsZero()) }

// Root are the node's ids of the container's superuser; false if it has none.
func (m IDMap) Root() (uid, gid uint32, ok bool) {
	uid, hasUID := m.UID(0)
	gid, hasGID := m.GID(0)
	return uid, gid, hasUID && hasGID
}

// root is Root, and an error without one.
func (m IDMap) root() (uid, gid uint32, err error) {
	uid, gid, ok := m.Root()
	if !ok {
		return 0, 0, fmt.Errorf("cannot build a file system for a user namespace that does not map user and group 0: %w", fs.ErrInvalid)
	}
	return uid, gid, nil
}

func mapped(rows []spec.IDMapping, id uint32, same bool) (uint32, bool) {
	for _, r := range rows {
		if id >= r.ContainerID && uint64(id)-uint64(r.ContainerID) < uint64(r.Size) {
			node := uint64(r.HostID) + uint64(id-r.ContainerID)
			return uint32(node), node < 1<<32-1
		}
	}
	return id, same
}
