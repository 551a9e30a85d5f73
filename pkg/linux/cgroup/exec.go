package cgroup

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ExecFiles makes a cgroup of the given name below the group, in the unified hierarchy only, for a further process that can then
// be killed with all its children. The files are those of Files, for a start in there; path is its directory. The caller closes the files; whoever
// reaps the process removes the directory.
func (g *Group) ExecFiles(name string) (files map[string]*os.File, path string, err error) {
	below := g.path + "/" + name
	if files, err = g.Files(); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			files = nil
		}
	}()
	if err := g.parent.unified.mkdir(below); err != nil {
		return files, "", err
	}
	dir, err := g.parent.unified.open(below, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		return files, "", errors.Join(err, g.parent.unified.rmdir(below))
	}
	_ = files[FileDir].Close()
	files[FileDir] = dir
	return files, g.parent.unified.path(below), nil
}
