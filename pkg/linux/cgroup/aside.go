package cgroup

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// AsideFiles makes a cgroup of the given name beside the group, in the unified hierarchy only, for a process that does something to the group's
// from outside. It is never frozen nor killed with them. The rest is as with ExecFiles.
func (g *Group) AsideFiles(name string) (files map[string]*os.File, dir string, err error) {
	beside := path.Join(path.Dir(g.path), name)
	if err := g.parent.unified.mkdir(beside); err != nil {
		return nil, "", err
	}
	f, err := g.parent.unified.open(beside, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return nil, "", errors.Join(err, g.parent.unified.rmdir(beside))
	}
	return map[string]*os.File{FileDir: f}, g.parent.unified.path(beside), nil
}
