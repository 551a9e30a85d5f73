package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup/systemd"
)

// recordSchema is the version of record.
const recordSchema = 1

// record is state.json: what a container is, and before it is so, what it is about to be.
type record struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	Bundle  string    `json:"bundle"`
	Rootfs  string    `json:"rootfs"`
	Created time.Time `json:"created"`
	BootID  string    `json:"bootID"`
	// Pid and StartTime are the first process's; 0 while there is none, or the runtime that made it has not yet said so.
	Pid       int    `json:"pid,omitzero"`
	StartTime uint64 `json:"startTime,omitzero"`
	// Made tells that Create is done.
	Made bool `json:"made,omitzero"`
	// Cgroup is the path below every mount point. Found tells that it was there before, Owned that the container has it, and whatever is in it.
	Cgroup string         `json:"cgroup"`
	Found  bool           `json:"found,omitzero"`
	Owned  bool           `json:"owned,omitzero"`
	Scope  *systemd.Scope `json:"scope,omitempty"`
	// Command is the command's first word, Hooks are the kinds of hooks that there are: most verbs need no more of the configuration.
	Command string   `json:"command"`
	Hooks   []string `json:"hooks,omitempty"`
	// Stdio is what its first process was given, of one without a terminal; Restored tells that it was made from an image.
	Stdio    []stream `json:"stdio,omitempty"`
	Restored bool     `json:"restored,omitzero"`
	// Annotations are the configuration's.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Resources are the limits as JSON of linux.resources, when they are no longer the configuration's.
	Resources json.RawMessage `json:"resources,omitempty"`
}

// read reads the record of a container, whoever has it. One that is torn, or of another version, is errTorn: what it was about is then lost, and
// only deletion by force goes on.
func (r *Runtime) read(id string) (record, error) {
	if err := errors.Join(checkID(id), r.checkRoot()); err != nil {
		return record{}, err
	}
	rec, err := readRecord(filepath.Join(r.Root, id, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return rec, ErrNotExist
	}
	return rec, err
}

// errTorn is a record that cannot be understood.
var errTorn = errors.New("the state is torn")

func readRecord(path string) (rec record, err error) {
	text, err := readFile(path, maxConfig)
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(text, &rec); err != nil || rec.Schema != recordSchema {
		return record{}, fmt.Errorf("cannot use %s: %w", path, errTorn)
	}
	return rec, nil
}

// config is the configuration that the container was created from, with the limits that it has by now.
func (r *Runtime) config(rec record) (*specs.Spec, error) {
	text, err := readFile(filepath.Join(r.Root, rec.ID, ConfigFile), maxConfig)
	if err != nil {
		return nil, err
	}
	config, err := ParseConfig(text)
	if err != nil || rec.Resources == nil {
		return config, err
	}
	if config.Linux == nil {
		config.Linux = &specs.Linux{}
	}
	config.Linux.Resources = &specs.LinuxResources{}
	return config, json.Unmarshal(rec.Resources, config.Linux.Resources)
}

// hooked gives the translation if there are hooks of one of the kinds, and else one without any.
func (r *Runtime) hooked(rec record, kinds ...string) (Translation, error) {
	for _, kind := range kinds {
		if slices.Contains(rec.Hooks, kind) {
			return r.translation(rec)
		}
	}
	return Translation{}, nil
}

// guess is the record of a container whose own is torn, as far as its configuration tells. Only a cgroup that says so itself is the container's.
func (r *Runtime) guess(id string) record {
	rec := record{Schema: recordSchema, ID: id, Made: true, Found: true}
	if config, err := r.config(rec); err == nil && config.Linux != nil {
		rec.Cgroup, rec.Scope, _ = r.place(id, Translation{CgroupsPath: config.Linux.CgroupsPath})
	}
	if rec.Cgroup == "" {
		rec.Cgroup, rec.Scope, _ = r.place(id, Translation{})
	}
	return rec
}

// translation is what the container was created from. It was translated once already.
func (r *Runtime) translation(rec record) (Translation, error) {
	config, err := r.config(rec)
	if err != nil {
		return Translation{}, err
	}
	return Translate(config, rec.Bundle)
}

// group opens the cgroup of a container.
func (r *Runtime) group(rec record) (*cgroup.Group, error) {
	tree, err := r.tree()
	if err != nil {
		return nil, err
	}
	return cgroup.At(tree, rec.Cgroup)
}
