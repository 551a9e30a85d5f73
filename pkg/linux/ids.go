package linux

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Ranges of ids that containers get are taken from here, as systemd-nspawn does: above what packages and logins have, below what
// signed programs cannot read. See systemd's UIDS-GIDS.md.
const (
	firstID = 0x00080000
	lastID  = 0x6fff0000
	idStep  = 1 << 16
)

// idRange is a range of ids of the node that belongs to one sandbox, for users and groups alike.
type idRange struct {
	HostID uint32 `json:"hostID"`
	Size   uint32 `json:"size"`
}

func (r idRange) mapping() []spec.IDMapping {
	return []spec.IDMapping{{ContainerID: 0, HostID: r.HostID, Size: r.Size}}
}

// overlaps tells whether two ranges have an id in common.
func (r idRange) overlaps(o idRange) bool {
	return uint64(r.HostID) < uint64(o.HostID)+uint64(o.Size) && uint64(o.HostID) < uint64(r.HostID)+uint64(r.Size)
}

// mappings are the ids of a container's user namespace, none if it has the node's. Those of Auto are given out at first use, and stay the
// sandbox's, over restarts and boots, until it is forgotten: files in its layers belong to them.
func (n *Node) mappings(c spec.Container) (mount.IDMap, error) {
	switch user := c.Spec.Namespaces.User; user.Mode {
	case spec.UserMap:
		return mount.IDMap{UIDs: user.UIDMappings, GIDs: user.GIDMappings}, nil
	case spec.UserAuto:
		r, err := n.ids(sandboxKey(c.Metadata.Name, c.Spec.Group), user.Size)
		return mount.IDMap{UIDs: r.mapping(), GIDs: r.mapping()}, err
	case spec.UserJoin:
		return n.mappingsOf(user.Join)
	}
	return mount.IDMap{}, nil
}

// mappingsOf are the ids of another container's user namespace, or of the one at a path. A container that does not run has none yet.
func (n *Node) mappingsOf(word string) (ids mount.IDMap, err error) {
	user, err := n.openJoined(word, namespace.FileUser, unix.CLONE_NEWUSER)
	if err != nil {
		return ids, err
	}
	defer user.Close()
	ids.UIDs, ids.GIDs, err = namespace.MapsIn(user)
	return ids, err
}

// ids gives the range of a sandbox, one that no other has.
func (n *Node) ids(key string, size uint32) (idRange, error) {
	n.idsLock.Lock()
	defer n.idsLock.Unlock()
	taken, err := n.takenIDs()
	if err != nil {
		return idRange{}, err
	}
	if had, ok := taken[key]; ok && had.Size == size {
		return had, nil
	}
	delete(taken, key)
	for at := uint64(firstID); at+uint64(size) <= lastID; at += idStep {
		r := idRange{uint32(at), size}
		overlapping := false
		for _, other := range taken {
			overlapping = overlapping || r.overlaps(other)
		}
		if !overlapping {
			return r, n.keepIDs(key, r)
		}
	}
	return idRange{}, fmt.Errorf("no range of %d ids between %d and %d is free: %w", size, firstID, lastID, unix.ENOSPC)
}

// idsDir is where a file for each sandbox says which range it has.
func (n *Node) idsDir() string { return filepath.Join(n.cfg.StateDir, "ids") }

// takenIDs are the ranges given out, by sandbox, and those that the node's administrator has given to users in subuid(5) and subgid(5). A file that
// cannot be understood is an error: its range could be given out twice.
func (n *Node) takenIDs() (map[string]idRange, error) {
	taken := map[string]idRange{}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) != 3 {
				continue
			}
			first, errFirst := strconv.ParseUint(f[1], 10, 32)
			size, errSize := strconv.ParseUint(f[2], 10, 32)
			if errFirst == nil && errSize == nil {
				taken[file+" "+line] = idRange{uint32(first), uint32(size)}
			}
		}
	}
	entries, err := os.ReadDir(n.idsDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot tell which ids are given out: %w", err)
	}
	for _, entry := range entries {
		key, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		var r idRange
		data, err := statefile.Read(filepath.Join(n.idsDir(), entry.Name()), maxRecord)
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil || r.Size == 0 {
			return nil, fmt.Errorf("cannot tell which ids %s has: %s: %w\nhint: remove the file if no container of that name is left", key, filepath.Join(n.idsDir(), entry.Name()), errors.Join(err, fs.ErrInvalid))
		}
		taken[key] = r
	}
	return taken, nil
}

// keepIDs writes down who has a range, for good before anybody uses it.
func (n *Node) keepIDs(key string, r idRange) error {
	if err := os.MkdirAll(n.idsDir(), 0o700); err != nil {
		return fmt.Errorf("cannot write down the ids of %q: %w", key, err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := statefile.Replace(filepath.Join(n.idsDir(), key+".json"), data, 0o600, true); err != nil {
		return fmt.Errorf("cannot write down the ids of %q: %w", key, err)
	}
	return nil
}

// freeIDs gives a sandbox's range back.
func (n *Node) freeIDs(key string) error {
	n.idsLock.Lock()
	defer n.idsLock.Unlock()
	return errors.Join(clear(filepath.Join(n.idsDir(), key+".json")), ignoreFull(discard(n.idsDir())))
}

// ignoreFull drops the error of removing a directory that others use.
func ignoreFull(err error) error {
	if slices.ContainsFunc([]error{unix.ENOTEMPTY, unix.EEXIST}, func(full error) bool { return errors.Is(err, full) }) {
		return nil
	}
	return err
}
