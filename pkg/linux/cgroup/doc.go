// Package cgroup keeps the control groups of containers: PARENT/NAME/INSTANCE in every hierarchy they need, or a path
// that an engine chose, with limits, device rules, freezing, killing, identity and events. It knows kernel files and one table of limits;
// it refuses to know processes' programs, manifests as files, and when anything should happen.
//
//	Parent  reconciler                       locked by one agent; controllers are handed down to here
//	          NAME                           gone with its last instance
//	Group       INSTANCE                     limits, device rules, identity, freezing, killing
//	              exec-...                   one for each further process (ExecFiles)
//
// Errors that callers tell apart: *ControllerError (errors.ErrUnsupported) for a limit this host cannot keep, *DelegationError for a
// cgroup on the way that is somebody else's, *LockedError for a second agent, *UsageError for a memory limit below what is in use,
// *OccupiedError (fs.ErrExist), and fs.ErrNotExist for a group that is gone.
//
// A host is pure cgroup v2, or hybrid: v1 controllers beside a cgroup2 mount that supplies freeze, kill
// and events. Each controller is used where the kernel attached it; every verb works on both. The
// unified directory is made first and removed last, so that what it does not show does not exist.
//
// Deciding pages: cgroups(7), Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.rst.
package cgroup
