// Package feature asks the running kernel what it can do: one named probe for each thing the backend
// uses, tried once, with the first kernel that has it and what to do about its lack. It knows how to
// ask without leaving a trace; it refuses to know who needs the answer.
package feature

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Feature is one thing a host can or cannot do. The package's variables are all there are.
type Feature struct {
	// Name is what doctor, tests and conditions call it: cgroup.kill.
	Name string
	// Purpose says in a few words what needs it.
	Purpose string
	// Since is the first kernel that has it, "5.14"; "" when it does not depend on the kernel's version.
	Since string
	// Remedy says in one line what helps.
	Remedy string

	probe func() error
}

// Probe is nil when the host has the feature, *UnsupportedError when it has not, and *InconclusiveError when
// it cannot be told, for want of privilege say. The first answer is kept for the life of the process.
func (f *Feature) Probe() error {
	cached, _ := answers.LoadOrStore(f, sync.OnceValue(f.ask))
	return cached.(func() error)()
}

// answers holds a func() error for each *Feature that was asked for.
var answers sync.Map

func (f *Feature) ask() error {
	var why *reason
	switch err := f.probe(); {
	case err == nil:
		return nil
	case errors.As(err, &why):
		return &UnsupportedError{Feature: f.Name, Since: f.Since, Reason: why.text, Remedy: cmp.Or(why.remedy, f.Remedy)}
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, unix.EOPNOTSUPP):
		return &UnsupportedError{Feature: f.Name, Since: f.Since, Remedy: f.Remedy}
	default:
		return &InconclusiveError{Feature: f.Name, Err: err}
	}
}

// UnsupportedError says that this host lacks a feature. It is errors.ErrUnsupported.
type UnsupportedError struct {
	Feature string
	Since   string // the first kernel that has it
	// Reason tells why a kernel that is new enough lacks it: how it was built, booted or mounted; "" for its age.
	Reason string
	Remedy string
}

func (e *UnsupportedError) Error() string {
	s := e.Feature + " is not supported"
	if why := e.Why(); why != "" {
		s += ": " + why
	}
	if e.Remedy != "" {
		s += "\nhint: " + e.Remedy
	}
	return s
}

// Why is the error without what is lacking and what helps.
func (e *UnsupportedError) Why() string {
	if e.Reason == "" && e.Since != "" {
		return fmt.Sprintf("it needs Linux %s", e.Since)
	}
	return e.Reason
}

// Is makes every UnsupportedError an errors.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// InconclusiveError says that a probe could not be made.
type InconclusiveError struct {
	Feature string
	Err     error
}

func (e *InconclusiveError) Error() string {
	return fmt.Sprintf("cannot tell whether %s is supported: %v", e.Feature, e.Err)
}

func (e *InconclusiveError) Unwrap() error { return e.Err }

// reason is what a probe returns when the lack is due to configuration, not to the kernel's age.
type reason struct {
	text   string
	remedy string // "" for the feature's
}

func (r *reason) Error() string { return r.text }

func because(format string, args ...any) error { return &reason{text: fmt.Sprintf(format, args...)} }

// All are the features in the order doctor shows them.
func All() []*Feature {
	return []*Feature{
		Privileges, CgroupV2, CgroupKill, CgroupXattrs, CloneIntoCgroup, Memory, CPU, Pids, Cpuset, IO, Hugetlb, RDMA, Misc, NetCls, NetPrio,
		DevicePrograms, Swap, MemoryReclaim, Pressure,
		UserNamespaces, NetworkNamespaces, Bridge, Nftables, TimeNamespaces, AppArmor, SELinux, Landlock, MountSetattr, Overlay, Seccomp, SeccompNotify, SeccompWaitKillable, PidfdExitInfo, ProjectQuota, OthersLimits, Systemd,
	}
}

// Lookup finds a feature by its name.
func Lookup(name string) (*Feature, bool) {
	for _, f := range All() {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}
