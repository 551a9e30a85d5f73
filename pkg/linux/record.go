package linux

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// recordSchema is the version of instance.json. A record of another version is treated as lost: the
// extended attributes of the cgroup still say who the instance is.
const recordSchema = 1

// recordFile is written last by Create and removed first by Destroy: an instance without it is half-made or half-destroyed.
const recordFile = "instance.json"

// maxRecord bounds what is read back: a manifest is at most 1 MiB, and JSON escapes grow it.
const maxRecord = 8 << 20

// record is what an instance was created from.
type record struct {
	Schema   int            `json:"schema"`
	Name     string         `json:"name"`
	Instance uint64         `json:"instance"`
	BootID   string         `json:"bootID"`
	Defaults int            `json:"defaults"`
	Hash     string         `json:"hash"`
	Spec     spec.Container `json:"spec"`
}

// group names the cgroup of an instance, and is the first thing every verb does: a name that is no DNS label, or instance 0, is refused here
// before it becomes part of a path.
func (n *Node) group(name string, id uint64) (*cgroup.Group, error) {
	if id == 0 {
		return nil, fmt.Errorf("instances are numbered from 1: %w", fs.ErrInvalid)
	}
	return n.groups().Group(name, id)
}

// instanceDir is the directory of an instance below the run directory.
func (n *Node) instanceDir(name string, id uint64) string {
	return filepath.Join(n.stateDir(name), strconv.FormatUint(id, 10))
}

// stateDir is the directory of a name below the run directory.
func (n *Node) stateDir(name string) string { return filepath.Join(n.cfg.RunDir, "state", name) }

func (n *Node) writeRecord(r record) error { return n.writeJSON(r.Name, r.Instance, recordFile, r) }

// writeJSON puts a file of an instance in place in one rename. The run directory dies with the boot it speaks of, so nothing is synced.
func (n *Node) writeJSON(name string, id uint64, file string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("cannot encode the %s of %q: %w", file, name, err)
	}
	if err := statefile.Replace(filepath.Join(n.instanceDir(name, id), file), data, 0o600, false); err != nil {
		return fmt.Errorf("cannot write the %s of %q: %w", file, name, err)
	}
	return nil
}

// records are what records are decoded into, as every look at a container does with a large one.
var records = sync.Pool{New: func() any { return new(record) }}

// readRecord reads the record of an instance; fs.ErrNotExist when there is none, another error when it
// is torn, foreign or of another boot.
func (n *Node) readRecord(name string, id uint64) (record, error) {
	r := records.Get().(*record)
	defer records.Put(r)
	*r = record{} // what was handed out of it has its slices and maps
	if err := n.readJSON(name, id, recordFile, r); err != nil {
		return record{}, err
	}
	switch {
	case r.Schema != recordSchema:
		return record{}, fmt.Errorf("record of %s/%d has schema %d, not %d", name, id, r.Schema, recordSchema)
	case r.Name != name || r.Instance != id:
		return record{}, fmt.Errorf("record of %s/%d speaks of %s/%d", name, id, r.Name, r.Instance)
	case r.BootID != n.boot:
		return record{}, fmt.Errorf("record of %s/%d is of an earlier boot", name, id)
	}
	return *r, nil
}

// recordOf is the record that an instance was looked at by, or why it has none.
func (n *Node) recordOf(in spec.Instance) (record, error) {
	if in.Spec.Metadata.Name != in.Name { // what it was created from is not known
		return n.readRecord(in.Name, in.ID)
	}
	return record{Schema: recordSchema, Name: in.Name, Instance: in.ID, BootID: n.boot, Defaults: in.Defaults, Hash: in.Hash, Spec: in.Spec}, nil
}

// readJSON reads one of an instance's files. Only a regular file is opened, and only so much of it is read.
func (n *Node) readJSON(name string, id uint64, file string, into any) error {
	path := filepath.Join(n.instanceDir(name, id), file)
	data, err := statefile.Read(path, maxRecord)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("cannot understand %s: %v", path, err)
	}
	return nil
}

// clear removes whatever has the place of a file.
func clear(path string) error {
	if err := discard(path); err == nil {
		return nil
	}
	return os.RemoveAll(path)
}

// discard removes a file, or an empty directory, that may not be there.
func discard(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
