package machine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// dirUnpacked is where packed images lie, below the state directory, as criu reads them: on a disk, because memory may have no room for them.
const dirUnpacked = "unpacked"

// unpackedDir is where the image lies that an instance is being restored from, and that its memory is still coming from.
func (n *Node) unpackedDir(name string, id uint64) string {
	return filepath.Join(n.cfg.StateDir, dirUnpacked, name+"."+strconv.FormatUint(id, 10))
}

// images opens criu's images, unpacked if need be.
func (r *restoring) images(ctx context.Context) (_ *os.File, err error) {
	if !r.source.IsPacked() {
		return r.source.Images()
	}
	dir := r.node.unpackedDir(r.instance.Name, r.instance.ID)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	room, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer room.Close()
	return r.source.Unpack(ctx, room)
}

// tidyUnpacked removes the images that no instance's memory is coming from any more, of all that there are.
func (n *Node) tidyUnpacked(all []spec.Instance) error {
	dirs, err := os.ReadDir(filepath.Join(n.cfg.StateDir, dirUnpacked))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	used := map[string]bool{}
	for _, in := range all {
		used[n.unpackedDir(in.Name, in.ID)] = in.Filling
	}
	for _, d := range dirs {
		if path := filepath.Join(n.cfg.StateDir, dirUnpacked, d.Name()); !used[path] {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}
