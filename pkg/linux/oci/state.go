package oci

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is the runtime specification's that this package implements.
var Version = specs.Version

// Processes are the numbers of a container's processes, ascending.
func (r *Runtime) Processes(id string) ([]int, error) {
	rec, err := r.read(id)
	if err != nil {
		return nil, err
	}
	if !rec.Owned {
		return nil, nil
	}
	group, err := r.group(rec)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	pids, err := group.Procs()
	return pids, gone(err)
}
