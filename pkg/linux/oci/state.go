package oci

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// specState is a state in the specification's own words alone.
func specState(s State) ([]byte, error) {
	return json.Marshal(specs.State{Version: s.Version, ID: s.ID, Status: s.Status, Pid: s.Pid, Bundle: s.Bundle, Annotations: s.Annotations})
}

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
