package keeper

import (
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxPid is the largest pid that Linux gives out; see PID_MAX_LIMIT in proc_sys_kernel(5), pid_max.
const maxPid = 1 << 22

// stopReasons are those of a stop under way.
var stopReasons = []string{spec.ExitStopped, spec.ExitStopTimeout, spec.ExitStopSignalUnhandled, spec.ExitKilled, spec.ExitMemoryLost}

// believe refuses a record of a start that cannot be one of this instance: by what it says, processes are killed. An intent has
// no pid yet.
func (r record) believe(key Key, intent bool) error {
	switch {
	case r.Key != key:
		return disbelief("it is of %s/%d", r.Key.Name, r.Key.Instance)
	case !intent && (r.Pid <= 1 || r.Pid > maxPid):
		return disbelief("no process has the number %d", r.Pid)
	case r.Starts <= 0 || r.Starts > math.MaxUint32:
		return disbelief("%d starts", r.Starts)
	case r.Sandbox.check() != nil:
		return disbelief("%w", r.Sandbox.check())
	}
	return believePlaces(key, r.Log, r.Cgroup, r.OOM)
}

// believePlaces refuses places that an instance cannot have: its cgroup's path ends in its own name, so that nothing kills in another's.
func believePlaces(key Key, log Log, cgroup, oom string) error {
	switch {
	case !absolute(log.Dir):
		return disbelief("log %q is no clean absolute path", log.Dir)
	case !ofInstance(key, cgroup):
		return disbelief("cgroup %q is not the instance's", cgroup)
	case oom != "" && (!absolute(oom) || !ofInstance(key, filepath.Dir(oom))):
		return disbelief("%q is no file of the instance's cgroup", oom)
	}
	return nil
}

// believe refuses a stop that no keeper began.
func (s stopRecord) believe() error {
	if !slices.Contains(stopReasons, s.Reason) || s.Boottime <= 0 {
		return disbelief("stop for %q at %v", s.Reason, s.Boottime)
	}
	return nil
}

func absolute(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && !strings.Contains(path, "\x00")
}

// ofInstance tells whether a path could be that of an instance's cgroup.
func ofInstance(key Key, path string) bool {
	return absolute(path) && strings.HasSuffix(path, "/"+key.Name+"/"+strconv.FormatUint(key.Instance, 10))
}

func disbelief(format string, args ...any) error {
	return fmt.Errorf("cannot be believed: "+format+": %w", append(args, fs.ErrInvalid)...)
}
