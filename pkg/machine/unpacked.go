package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// dirUnpacked is where packed images lie, below the state directory, as criu reads them: on a disk, because memory may have no room for them.
const dirUnpacked = "unpacked"

// unpackedDir is where the image lies that a start of an instance is restored from, and that its memory is still coming from.
func (n *Node) unpackedDir(name string, id uint64, start int) string {
	return filepath.Join(n.cfg.StateDir, dirUnpacked, fmt.Sprintf("%s.%d.%d", name, id, start))
}

// removeFilled removes an image when all of an instance's memory has come from it, as long as the node is open; else the next Open does.
func (n *Node) removeFilled(in spec.Instance, dir string) {
	n.filling.Go(func() {
		if n.Filled(n.life, in.Name, in.ID, fillEnds) == nil {
			_ = os.RemoveAll(dir)
		}
	})
}

// fillEnds is more than memory takes to come.
const fillEnds = time.Hour

// images opens criu's images, unpacked if need be.
func (r *restoring) images(ctx context.Context) (_ *os.File, err error) {
	if !r.source.IsPacked() {
		return r.source.Images()
	}
	dir := r.node.unpackedDir(r.instance.Name, r.instance.ID, r.instance.Starts+1)
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
		used[n.unpackedDir(in.Name, in.ID, in.Starts)] = in.Filling
	}
	for _, d := range dirs {
		if path := filepath.Join(n.cfg.StateDir, dirUnpacked, d.Name()); !used[path] {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}
