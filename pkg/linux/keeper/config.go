package keeper

import (
	"context"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Config says where a keeper works and, to a client, how one is started.
type Config struct {
	// RunDir is the node's run directory; the keeper works in RUN-DIR/state.
	RunDir string
	// Command starts a keeper when none runs: it ends in a call of Main. Default: a sealed copy of this binary, which is to call Hook.
	Command []string
	// Start, if given, has somebody else start the keeper with these arguments of its program, the first one its name, and returns when that is ready. It is
	// for who is confined in a way that containers would inherit. Command is not used then.
	Start func(ctx context.Context, argv []string) error
	// Place, if given, is called with the pid of each keeper the client starts, before anything is asked of it: to put it
	// into a cgroup of its own. Its error is that of the request that needed a keeper.
	Place func(ctx context.Context, pid int) error
	// Log gets what the client, or the keeper itself, has to say. The zero value says nothing.
	Log logr.Logger
}

// The keeper's own files, all below RUN-DIR/state.
const (
	stateDir   = "state"
	lockFile   = "keeper.lock" // flock: one keeper a node; its text is the holder's pid
	socketFile = "keeper.sock" // 0600
	logFile    = "keeper.log"  // what the keeper says, bounded
)

// path names one of the keeper's own files.
func (c Config) path(file string) string { return filepath.Join(c.RunDir, stateDir, file) }

// Process is an instance the keeper knows.
type Process struct {
	Key
	Started
	// Running tells that process 1 has not ended. Pid is a number to trust only while it runs.
	Running bool `json:"running"`
	// Dropped counts the bytes of output that could not be written to the log (disk full, I/O error).
	Dropped int64 `json:"dropped,omitzero"`
}

// Event is a hint: an instance's process ended, or what gave it memory is done (spec.EventExit), or it has said something of itself (spec.EventNotify), or hints may have been missed (spec.EventLost, no key).
type Event struct {
	Key
	Kind spec.EventKind `json:"kind"`
}
