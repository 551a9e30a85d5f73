package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Owned tells whether a container is to have its own v2 cgroup to divide: it has a user namespace, sees no cgroup but its own, and mounts
// that so that it can be written to.
func Owned(s spec.ContainerSpec) bool {
	isOwn := s.Namespaces.User.Mode != spec.UserHost && s.Namespaces.User.Mode != "" && s.Namespaces.Cgroup != spec.NamespaceHost
	return isOwn && slices.ContainsFunc(s.Mounts, func(m spec.Mount) bool {
		return (m.Type == spec.MountCgroup || m.Type == spec.MountCgroup2) && slices.Contains(m.Options, "rw")
	})
}

// delegated lists the files that who owns a cgroup may write to; see cgroup-v2.rst, Model of Delegation.
const delegated = "/sys/kernel/cgroup/delegate"

// Own gives the v2 cgroup to a user of the node, who may then make others below it and move his processes there. Its limits stay the node's.
func (g *Group) Own(uid, gid uint32) error {
	text, err := os.ReadFile(delegated)
	if err != nil {
		return fmt.Errorf("cannot give cgroup %s to user %d: %w", g, uid, err)
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, file := range append(strings.Fields(string(text)), ".") {
		err := unix.Fchownat(int(dir.Fd()), file, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // of a controller that is not there
			return fmt.Errorf("cannot give %s of cgroup %s to user %d: %w", file, g, uid, err)
		}
	}
	return nil
}
