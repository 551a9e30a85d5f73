package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Identity is what a group knows of itself, kept as one extended attribute of its unified directory, so
// that it dies with it and a torn record still adopts.
type Identity struct {
	// Name and Instance are the container's, and of the group's path.
	Name     string `json:"name"`
	Instance uint64 `json:"instance"`
	// Hash is spec.Identity of the manifest under Defaults.
	Hash string `json:"hash"`
	// Defaults is the version of the default values, spec.DefaultsVersion then.
	Defaults int `json:"defaults"`
	// BootID is process.BootID of the boot that the group was made in.
	BootID string `json:"bootID"`
}

// identityAttribute holds an Identity as JSON. cgroup2 keeps user attributes since Linux 5.7.
const identityAttribute = "user.reconciler.identity"

// SetIdentity writes the identity; hash, defaults and boot come from id, the names from the group. A
// hierarchy that keeps no attributes is no error: the record alone must do then.
func (g *Group) SetIdentity(id Identity) error {
	id.Name, id.Instance = g.Name, g.Instance
	text, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("cannot write the identity of %s: %w", g, err)
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Fsetxattr(int(dir.Fd()), identityAttribute, text, 0)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("cannot write the identity of %s: %w", g, err)
	}
	return nil
}

// Identity reads the identity: zero when there is none, or one that is not this group's.
func (g *Group) Identity() (Identity, error) {
	dir, err := g.Dir()
	if err != nil {
		return Identity{}, err
	}
	defer dir.Close()
	text := make([]byte, 4096)
	n, err := unix.Fgetxattr(int(dir.Fd()), identityAttribute, text)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ERANGE):
		return Identity{}, nil
	case err != nil:
		return Identity{}, fmt.Errorf("cannot read the identity of %s: %w", g, err)
	}
	var id Identity
	if json.Unmarshal(text[:n], &id) != nil || id.Name != g.Name || id.Instance != g.Instance {
		return Identity{}, nil
	}
	return id, nil
}
