package spec

import (
	"errors"
	"time"
)

// ErrNotRunning tells that what was asked for needs a container that runs, and is not frozen.
var ErrNotRunning = errors.New("the container does not run")

// ErrBusy tells that something is in use, and by what: it can be asked for again.
var ErrBusy = errors.New("in use")

// Instance is one incarnation of a container as a node shows it: a cgroup and a run directory at
// PARENT/NAME/ID. A restart of the process stays in its instance; a change of a replace field makes
// a new one.
type Instance struct {
	Name string // the container's name
	ID   uint64 // grows by one with every new instance of the name, from 1

	// Phase is what the kernel shows now.
	Phase InstancePhase
	// Spec is the manifest the instance was created from, with live changes; zero when its record is lost.
	Spec Container
	// Hash is Identity of Spec under Defaults. It survives a lost record (extended attribute of the cgroup).
	Hash string
	// Defaults is the version of the default values the instance was created under.
	Defaults int
	// Resources are the limits read back from the kernel, only where Spec.Resources says something; compare
	// with Wanted to find drift.
	Resources Resources
	// Wanted is Spec.Resources as this kernel stores them (page rounded, unsupported limits left out).
	Wanted Resources

	// OOMKills is how many of its processes the kernel has killed for want of memory, in all its starts.
	OOMKills uint64

	Cgroup    string    // where the node keeps its processes, for people: a path
	Pid       int       // process 1 as the node sees it, 0 when none
	Starts    int       // how many times the process was started in this instance
	StartedAt time.Time // of the latest start
	Filling   bool      // its memory is still coming from the image it was restored from
	Notified  Notified  // what the latest start has said of itself
	Stopping  Stopping  // a stop that was asked for and has not ended yet
	Exit      *Exit     // of the latest start, once it has ended
	Problem   string    // why Phase is Broken, for people
}

// InstancePhase is what the kernel shows of an instance.
type InstancePhase string

// The phases of an instance.
//
//	Broken --Destroy--> gone        Created --Start--> Running <--Pause/Resume--> Paused
//	Running/Paused --exit--> Exited --Start--> Running;   any --Destroy--> gone
const (
	InstanceBroken  InstancePhase = "Broken"  // half-made or half-destroyed: only Destroy helps
	InstanceCreated InstancePhase = "Created" // cgroup, limits and layers are there, no process yet
	InstanceRunning InstancePhase = "Running"
	InstancePaused  InstancePhase = "Paused" // frozen
	InstanceExited  InstancePhase = "Exited"
)

// Stopping is a stop under way: the signal was sent, and at Deadline the keeper kills the cgroup.
type Stopping struct {
	Signal   string    `json:"signal"`
	Deadline time.Time `json:"deadline"`
	Reason   string    `json:"reason"`
}

// IsZero tells whether no stop is under way.
func (s Stopping) IsZero() bool { return s == Stopping{} }

// Notified is what one run of a container has said of itself by sd_notify(3); see Probe.Notify. The next run begins with nothing said.
type Notified struct {
	// Socket tells that the run can say something: the instance was created to be waited for.
	Socket bool `json:"socket,omitzero"`
	// Started tells that it has been ready once.
	Started bool `json:"started,omitzero"`
	// Ready tells that it is ready: since READY=1, until RELOADING=1 or STOPPING=1.
	Ready bool `json:"ready,omitzero"`
	// Status is its latest STATUS=, printable and short. Nobody vouches for it.
	Status string `json:"status,omitzero"`
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, or 128 plus the signal; -1 when Reason is Unknown.
	Code int `json:"code"`
	// Signal names the signal that ended the process, if one did.
	Signal string `json:"signal,omitzero"`
	// Reason is one of the Exit reasons below.
	Reason string `json:"reason"`
	// OOMKilled tells that the kernel killed in this container for want of memory during this run.
	OOMKilled  bool      `json:"oomKilled,omitzero"`
	Pid        int       `json:"pid,omitzero"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
}

// Failed tells whether the process did not do what it was there for. An unknown code may have been any, so it is a failure.
func (e Exit) Failed() bool { return e.Code != 0 || e.Reason == ExitUnhealthy }

// Reasons of an exit.
const (
	ExitCompleted           = "Completed"           // code 0 by itself
	ExitError               = "Error"               // another code, or a signal from inside or by hand
	ExitOOMKilled           = "OOMKilled"           // ended by the kernel's OOM killer
	ExitStopped             = "Stopped"             // ended after the stop signal, in time
	ExitStopTimeout         = "StopTimeout"         // killed at the stop deadline
	ExitStopSignalUnhandled = "StopSignalUnhandled" // killed at once: process 1 neither catches nor blocks the stop signal
	ExitKilled              = "Killed"              // killed on request
	ExitCheckpointed        = "Checkpointed"        // ended because an image of it was asked for in its place
	ExitMemoryLost          = "MemoryLost"          // killed: its memory was still coming from its image, and cannot come any more
	ExitUnhealthy           = "Unhealthy"           // stopped because its startup or liveness probe failed
	ExitUnknown             = "Unknown"             // nobody saw the code
)

// Event is a hint that something about a container changed; observe to learn what. Name "" means any.
type Event struct {
	Name string
	Kind EventKind
	// Count is how often it happened since the last hint of the kind, of kinds that are counted: OOM, and those of pressure. Else 0.
	Count uint64
}

// EventKind says what kind of change a hint is about.
type EventKind string

// The kinds of hint.
const (
	EventExit   EventKind = "Exit"
	EventOOM    EventKind = "OOM" // Count processes were killed for want of memory
	EventFreeze EventKind = "Freeze"
	EventNotify EventKind = "Notify" // it has said something of itself: Instance.Notified

	// The pressure a manifest asks to be told of was met.
	EventMemoryPressure EventKind = "MemoryPressure"
	EventCPUPressure    EventKind = "CPUPressure"
	EventIOPressure     EventKind = "IOPressure"

	EventLost EventKind = "Lost" // hints may have been missed: observe everything
)
