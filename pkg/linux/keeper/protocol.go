// Package keeper is the one long-lived helper of a node: parent and reaper of all containers, holder of
// their pidfds, namespaces and pipes, writer of their logs and exits. It knows processes and descriptors;
// it refuses to know manifests, plans and limits, so that it seldom changes and can stay up for years.
package keeper

import (
	"os"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Key names one instance.
type Key struct {
	Name     string `json:"name"`
	Instance uint64 `json:"instance"`
}

// Files that the keeper brings to a program by these names, if the program has them and the request does not; all others come with the request.
const (
	FileStdin  = "stdin"  // a pipe kept open for writing as well, so that it never ends
	FileStdout = "stdout" // the instance's stdout pipe, open for reading and writing so that it never breaks
	FileStderr = "stderr"
)

// FileConsole is the master of a container's terminal, which comes with a start and is the keeper's to read.
const FileConsole = "master"

// StartRequest asks the keeper to start a process in an instance. Starting one that runs is success and changes nothing.
type StartRequest struct {
	Key
	// Dir is the instance's state directory, RUN-DIR/state/NAME/INSTANCE. The keeper writes start.json, exit.json,
	// stop.json and makes the stdout and stderr FIFOs there, and is their only writer.
	Dir string
	// Program is what the child runs; Files are the descriptors it names, except the keeper's own.
	Program process.Program
	Files   map[string]*os.File
	// Sandbox says which of the Files are namespaces to be kept; none if its Key is "".
	Sandbox Sandbox
	// Log is where the output goes.
	Log Log
	// Cgroup is the absolute path of the instance's cgroup v2 directory, which ends in /NAME/INSTANCE: cgroup.kill, cgroup.procs.
	Cgroup string
	// OOM is the absolute path of the file whose "oom_kill N" line counts kills: memory.events (v2) or memory.oom_control (v1), in
	// a directory that ends alike; "" if there is none.
	OOM string
	// Notify, if its Socket is true, gives the run a socket for sd_notify(3) in Dir/NotifyDir, which is there, empty and the caller's to show to the container. The
	// rest is what the run has said already: one that was restored does not say it again.
	Notify spec.Notified
	// Patience is how long the program may wait for whoever attends to it, beside what any start may take.
	Patience time.Duration
	// Once tells that the start is not to be asked for again when a keeper dies of it: who attends to the child attends to one.
	Once bool
}

// Log is where and how an instance's output is kept. All instances of a name share Dir; see package log.
type Log struct {
	Dir      string `json:"dir"`
	MaxSize  int64  `json:"maxSize"`
	MaxFiles int    `json:"maxFiles"`
	// None tells that it is not kept: what is said is read and gone.
	None bool `json:"none,omitzero"`
}

// Started is the identity of a started process, kept in start.json. A recorded pid is ours only while boot and start time agree.
type Started struct {
	Pid       int       `json:"pid"`
	StartTime uint64    `json:"startTime"` // field 22 of /proc/PID/stat, clock ticks since boot
	BootID    string    `json:"bootID"`
	StartedAt time.Time `json:"startedAt"`
	Starts    int       `json:"starts"`   // how many starts this instance has had, this one included
	OOMKills  uint64    `json:"oomKills"` // the count in the OOM file at the start
	// Notify is what it was asked for with; see NotifyFile for what it has said since.
	Notify spec.Notified `json:"notify,omitzero"`
}

// The files in an instance's directory that the keeper writes, by atomic rename; others only read them.
const (
	StartFile    = "start.json" // Started plus what a new keeper needs to adopt
	StartingFile = intentFile   // there while a start is under way
	ExitFile     = "exit.json"  // spec.Exit; written before the process is reaped; removed by the next start
	StopFile     = "stop.json"  // spec.Stopping; removed by the next start
	FeedFile     = "feed.json"  // there while the memory of a restored instance is still to come

	NotifyFile = "notify.json" // Notified; of the run with its number of starts, if that is one with a socket
)

// NotifyDir is the directory of an instance's socket for sd_notify(3), and NotifySocket the socket in there.
const (
	NotifyDir    = "notify"
	NotifySocket = "notify.sock"
)

// Notified is what a run has said of itself.
type Notified struct {
	spec.Notified
	Starts int `json:"starts"`
}
