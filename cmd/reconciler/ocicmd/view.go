package ocicmd

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// viewName is a directory in an image, for the time of a restore.
const viewName = "view"

// openView gives a directory with the files of an image that everybody may read who has it open, and what removes it. In a user namespace the processes that are being made are nobody,
// and then its superuser, before they have read all: the directory of an image may be shut to both. No path leads to the view that does not go through that one.
func openView(images *os.File) (view *os.File, remove func(), err error) {
	dir := fmt.Sprintf("/proc/self/fd/%d", images.Fd())
	at := filepath.Join(dir, viewName)
	remove = func() {
		if view != nil {
			_ = view.Close()
		}
		_ = os.RemoveAll(at)
	}
	defer func() {
		if err != nil {
			remove()
			err = fmt.Errorf("cannot show the image to the container's users: %w", err)
		}
	}()
	if err := os.RemoveAll(at); err != nil {
		return nil, remove, err
	}
	if err := errors.Join(os.Mkdir(at, 0o711), os.Chmod(at, 0o711)); err != nil {
		return nil, remove, err
	}
	if view, err = os.OpenFile(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return nil, remove, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, remove, err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.Type().IsRegular():
			err = unix.Linkat(int(images.Fd()), name, int(view.Fd()), name, 0)
		case e.Type()&os.ModeSymlink != 0: // to an older image
			var target string
			if target, err = os.Readlink(filepath.Join(dir, name)); err == nil {
				if !path.IsAbs(target) {
					target = path.Join("..", target)
				}
				err = unix.Symlinkat(target, int(view.Fd()), name)
			}
		}
		if err != nil {
			return nil, remove, &os.PathError{Op: "link", Path: name, Err: err}
		}
	}
	return view, remove, nil
}
