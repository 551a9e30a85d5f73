package cgroup

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// ControllerError says that a host cannot keep a limit, because a controller, or one file of it, is not
// there. It is errors.ErrUnsupported: only another manifest or another host helps.
type ControllerError struct {
	Controller string // memory, cpu, io ...: v2's name if it has one
	File       string // the one missing file, if the controller itself is there
	Err        error  // why, if known: EBUSY or EPERM when an ancestor is not ours to change
}

func (e *ControllerError) Error() string {
	s := fmt.Sprintf("controller %s not available", e.Controller)
	if e.File != "" {
		s = fmt.Sprintf("controller %s has no %s here", e.Controller, e.File)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is makes every ControllerError an errors.ErrUnsupported.
func (e *ControllerError) Is(target error) bool { return target == errors.ErrUnsupported }

func (e *ControllerError) Unwrap() error { return e.Err }

// DelegationError says that controllers cannot be handed down because a cgroup on the way belongs to
// someone else: it has processes of its own (EBUSY) or we may not write there (EPERM, EACCES).
type DelegationError struct {
	Dir        string // the cgroup that would have to change
	Controller string // which would have to be handed down: v2's name if it has one
	Err        error  // EBUSY, EPERM or EACCES
}

func (e *DelegationError) Error() string {
	return fmt.Sprintf("cannot enable %s in %s/cgroup.subtree_control: %v\nhint: delegate a cgroup to the agent, or start it outside %s", e.Controller, e.Dir, e.Err, e.Dir)
}

func (e *DelegationError) Unwrap() error { return e.Err }

// LockedError says that another agent keeps its containers below the same parent. It is unix.EBUSY.
type LockedError struct {
	Parent string // the path below every mount point
	Pid    int    // of the other agent, 0 when the kernel does not tell
}

func (e *LockedError) Error() string {
	if e.Pid == 0 {
		return fmt.Sprintf("cgroup parent %s is in use by another agent", e.Parent)
	}
	return fmt.Sprintf("cgroup parent %s is in use by the agent with pid %d", e.Parent, e.Pid)
}

// Is makes every LockedError a unix.EBUSY.
func (e *LockedError) Is(target error) bool { return target == unix.EBUSY }

// UsageError says that a limit was not lowered because more is in use and is not given back; on v2 the
// kernel would have killed inside the container.
type UsageError struct {
	File          string // where the usage was read
	Usage, Wanted uint64 // bytes
}

func (e *UsageError) Error() string {
	return fmt.Sprintf("%d bytes are in use and cannot be reclaimed (%s)", e.Usage, e.File)
}

// OccupiedError says that a cgroup which a container was to get is in use. It is fs.ErrExist.
type OccupiedError struct {
	Path      string // its directory in the unified hierarchy
	Processes int    // how many are in it
	Frozen    bool   // it is frozen, and what began in it would be
}

func (e *OccupiedError) Error() string {
	if e.Processes == 0 {
		return fmt.Sprintf("cgroup %s is frozen", e.Path)
	}
	return fmt.Sprintf("cgroup %s is not empty: it has %d processes", e.Path, e.Processes)
}

// Is makes every OccupiedError an fs.ErrExist.
func (e *OccupiedError) Is(target error) bool { return target == fs.ErrExist }
