package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A restore fills a container's layer with what an image has, and may be refused, or fail, after that. What was in the layer is set aside until the
// container runs, and comes back if it never does: a start may have to go on with it.

// aside is what was in a layer. A nil one is nothing.
type aside struct {
	dir  string
	in   spec.Instance
	held *os.File // of one in memory: it comes back only while this process lives
	none bool     // there was none
}

const asideMark = ".aside."

// setAside empties the place of a layer. The name of what is aside says which start is to come: whether it came decides, later and for another agent too, which of the
// two stays. What lives no longer than a start is not kept.
func setAside(dir string, in spec.Instance, w spec.Writable) (a *aside, err error) {
	if err := settleLayer(dir, in.ID, in.Starts); err != nil || w.Life == spec.LifeStart {
		return nil, errors.Join(err, mount.RemoveLayer(dir))
	}
	a = &aside{dir: dir, in: in}
	if w.Medium == spec.MediumMemory {
		if a.held, err = mount.HoldLayer(dir); err != nil {
			return nil, err
		}
		a.none = a.held == nil
		return a, mount.RemoveLayer(dir)
	}
	err = os.Rename(dir, fmt.Sprintf("%s%s%d.%d", dir, asideMark, in.ID, in.Starts+1))
	if a.none = errors.Is(err, fs.ErrNotExist); a.none {
		err = nil
	}
	return a, err
}

// back undoes setAside, unless drop was called. It may be repeated.
func (a *aside) back() error {
	switch {
	case a == nil || a.dir == "":
		return nil
	case a.none:
		return mount.RemoveLayer(a.dir)
	case a.held == nil:
		return settleLayer(a.dir, a.in.ID, a.in.Starts)
	}
	err := errors.Join(mount.RemoveLayer(a.dir), mount.ReturnLayer(a.dir, a.held), a.held.Close())
	a.dir = ""
	return err
}

// drop removes it: the container runs on what is in the layer now.
func (a *aside) drop() error {
	if a == nil || a.dir == "" {
		return nil
	}
	err := settleLayer(a.dir, a.in.ID, a.in.Starts+1)
	if a.held != nil {
		err = errors.Join(err, a.held.Close())
	}
	a.dir = ""
	return err
}

// settleLayer decides on what was set aside of a layer, by how often an instance was started: it goes if that start came, and else it comes back. What is of another instance
// goes.
func settleLayer(dir string, id uint64, starts int) error {
	all, err := filepath.Glob(dir + asideMark + "*")
	if err != nil {
		return err
	}
	for _, path := range all {
		owner, start, _ := strings.Cut(strings.TrimPrefix(path, dir+asideMark), ".")
		n, _ := strconv.Atoi(start)
		if owner != strconv.FormatUint(id, 10) || starts >= n {
			err = errors.Join(err, mount.RemoveLayer(path))
			continue
		}
		err = errors.Join(err, mount.RemoveLayer(dir), os.Rename(path, dir))
	}
	return err
}
