package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
)

// DefaultRoot is where the state of containers is kept unless somebody says another place.
const DefaultRoot = "/run/reconciler-oci"

// Runtime is a runtime with its own set of containers. It holds nothing open: the state is in its directory, and any number of processes may
// use it at the same time.
type Runtime struct {
	// Root is the absolute directory of the state.
	Root string
	// Systemd has systemd make the cgroups, as scopes.
	Systemd bool
	// Log gets warnings, and at V(1) the system calls of each start.
	Log logr.Logger

	detected sync.Once
	cgroups  cgroup.Tree
	problem  error
}

// The errors that callers ask for. Engines compare their texts.
var (
	ErrNotExist   = fmt.Errorf("container does not exist%w", hidden{fs.ErrNotExist})
	ErrExist      = fmt.Errorf("container with given ID already exists%w", hidden{fs.ErrExist})
	ErrNotRunning = errors.New("container not running")
	ErrPaused     = errors.New("container is paused")
)

// hidden is an error that shows in errors.Is and not in the text.
type hidden struct{ error }

func (hidden) Error() string   { return "" }
func (h hidden) Unwrap() error { return h.error }

// idLetters are what a container can be called, in at most 255 of them: it is the name of a directory.
const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-"

func checkID(id string) error {
	if id == "" || len(id) > 255 || strings.Trim(id, idLetters) != "" || id == "." || id == ".." {
		return fmt.Errorf("invalid container ID format: %q: %w", id, fs.ErrInvalid)
	}
	return nil
}

// tree is where this node keeps its cgroups.
func (r *Runtime) tree() (cgroup.Tree, error) {
	r.detected.Do(func() { r.cgroups, r.problem = cgroup.Detect() })
	return r.cgroups, r.problem
}

// ensureRoot makes the state directory: others may go through it, and nobody else may write.
func (r *Runtime) ensureRoot() error {
	if !filepath.IsAbs(r.Root) {
		return fmt.Errorf("the root %q is not absolute: %w", r.Root, fs.ErrInvalid)
	}
	if err := os.MkdirAll(r.Root, 0o711); err != nil {
		return fmt.Errorf("cannot make the root: %w", err)
	}
	return r.checkRoot()
}

// checkRoot refuses a root that others could have filled: by what is in it, processes are killed and hooks run. One that is not there is as good as
// an empty one.
func (r *Runtime) checkRoot() error {
	var st unix.Stat_t
	if err := unix.Stat(r.Root, &st); errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return &fs.PathError{Op: "stat", Path: r.Root, Err: err}
	}
	if uid := os.Geteuid(); int(st.Uid) != uid || st.Mode&0o022 != 0 {
		return fmt.Errorf("cannot use the root %s: others may write to it (owner %d, mode %04o): %w\nhint: chown %d %s && chmod go-w %s, or name another directory",
			r.Root, st.Uid, st.Mode&0o7777, fs.ErrPermission, uid, r.Root, r.Root)
	}
	return nil
}
