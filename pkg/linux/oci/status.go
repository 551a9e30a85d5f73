package oci

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// StatePaused is what a frozen container is; the specification leaves such states to the runtime.
const StatePaused specs.ContainerState = "paused"

// State is what State tells of a container: the specification's words, and those that engines have come to expect.
type State struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

// State looks at a container.
func (r *Runtime) State(id string) (State, error) {
	rec, err := r.read(id)
	if err != nil {
		return State{}, err
	}
	return r.stateOf(rec)
}

// List looks at all containers, by id. One that goes away meanwhile is left out.
func (r *Runtime) List() (all []State, err error) {
	if err := r.checkRoot(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		s, err := r.State(e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid):
		case errors.Is(err, errTorn):
			r.Log.Info("a container is left out", "id", e.Name(), "why", err.Error())
		case err != nil:
			return nil, err
		default:
			all = append(all, s)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all, nil
}

func (r *Runtime) stateOf(rec record) (State, error) {
	status, err := r.status(rec)
	pid := rec.Pid
	if status == specs.StateStopped {
		pid = 0
	}
	return State{
		Version: specs.Version, ID: rec.ID, Pid: pid, Status: status, Bundle: rec.Bundle, Rootfs: rec.Rootfs, Created: rec.Created, Annotations: rec.Annotations,
	}, err
}

// status is what the kernel shows of a container.
func (r *Runtime) status(rec record) (specs.ContainerState, error) {
	if !rec.Made && (rec.lives() || r.held(rec.ID)) {
		return specs.StateCreating, nil
	}
	if !rec.lives() {
		return specs.StateStopped, nil
	}
	if r.waits(rec.ID) {
		return specs.StateCreated, nil
	}
	return r.paused(rec)
}

// paused looks whether a running container is frozen. This is asked so often that no group is opened for it.
func (r *Runtime) paused(rec record) (specs.ContainerState, error) {
	tree, err := r.tree()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(tree.Unified, rec.Cgroup, "cgroup.freeze"))
	if err == nil && bytes.HasPrefix(text, []byte("1")) {
		return StatePaused, nil
	}
	return specs.StateRunning, nil
}

// lives tells whether the first process is there and has not ended.
func (rec record) lives() bool {
	if rec.Pid == 0 {
		return false
	}
	if boot, err := process.BootID(); err == nil && boot != rec.BootID {
		return false
	}
	stat, err := process.ReadStat(rec.Pid)
	return err == nil && stat.StartTime == rec.StartTime && !stat.Dead()
}

// open gives a pidfd of the first process.
func (rec record) open() (*os.File, error) {
	if !rec.lives() {
		return nil, ErrNotRunning
	}
	pidfd, err := process.OpenVerified(rec.Pid, rec.StartTime)
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrNotRunning
	}
	return pidfd, err
}

// waits tells whether the first process waits for its start: it holds the FIFO open for reading until it executes its command.
func (r *Runtime) waits(id string) bool {
	f, err := openWriter(filepath.Join(r.Root, id, startFIFO))
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// openWriter opens a FIFO that somebody reads from; ENXIO when nobody does (fifo(7)).
func openWriter(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
}
