package cgroup

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// FileDir names the group's unified directory among the files of a program.
const FileDir = "cgroup"

// Files opens what a program needs to start inside the group: its unified directory as FileDir and, by
// the name "cgroup.CONTROLLER", the tasks file of each v1 hierarchy it is in. The caller closes them.
func (g *Group) Files() (map[string]*os.File, error) {
	dir, err := g.Dir()
	if err != nil {
		return nil, err
	}
	files := map[string]*os.File{FileDir: dir}
	for _, h := range g.parent.v1 {
		f, err := h.open(g.path+"/tasks", unix.O_WRONLY)
		if h.optional && errors.Is(err, fs.ErrNotExist) { // no limit needs it
			continue
		}
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, err
		}
		files[FileDir+"."+h.controllers[0]] = f
	}
	return files, nil
}

// Enter makes a program start inside the group whose Files are given: it is cloned into the unified
// directory, and writes itself into the v1 ones first of all. It writes to tasks: a single-threaded process
// that writes to cgroup.procs waits 10 to 18 ms for an RCU grace period (kernel/cgroup: cgroup_threadgroup_rwsem).
func Enter(p *process.Program, files map[string]*os.File) {
	p.Cgroup = FileDir
	p.File(FileDir)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != FileDir {
			p.Call("enter cgroup", files[name].Name(), unix.SYS_WRITE, p.File(name), process.Str("0"), process.Int(1))
		}
	}
}
