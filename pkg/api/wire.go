package api

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// List is all containers at one moment.
type List struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   ListMetadata  `json:"metadata,omitzero"`
	Items      []spec.Object `json:"items"`
}

// KindList is the Kind of a List.
const KindList = "ContainerList"

// ListMetadata says which moment a list shows, so that a watch can go on from it.
type ListMetadata struct {
	// Agent identifies one life of an agent; resource versions of different lives cannot be compared.
	Agent string `json:"agent,omitzero"`
	// ResourceVersion is the newest change that the list contains.
	ResourceVersion uint64 `json:"resourceVersion,omitzero"`
}

// Change is one line of a watch of containers.
type Change struct {
	Type   ChangeType  `json:"type"`
	Object spec.Object `json:"object"`
}

// ChangeType says what happened to the object of a Change.
type ChangeType string

// The types of change. A Bookmark carries only a resource version: nothing changed up to it.
const (
	Added    ChangeType = "Added"
	Modified ChangeType = "Modified"
	Deleted  ChangeType = "Deleted"
	Bookmark ChangeType = "Bookmark"
)

// Event is something that happened, for people: kept in memory, bounded, the newest win.
type Event struct {
	// ID grows with every event of this agent's life; a repeated event (Count) gets a new one.
	ID uint64 `json:"id"`
	// Time is when it happened last.
	Time time.Time `json:"time"`
	// Name is the container's, or empty for the node's own events.
	Name string `json:"name,omitzero"`
	// Warning tells that somebody should look.
	Warning bool `json:"warning,omitzero"`
	// Reason is one stable CamelCase word: Started, Killing, PruneBlocked.
	Reason  string `json:"reason"`
	Message string `json:"message,omitzero"`
	// Count is how often it happened in a row.
	Count int `json:"count,omitzero"`
}

// Source is a directory of manifests as the agent last read it.
type Source struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	Revision string `json:"revision,omitzero"`
	// OK is false while the directory cannot be read completely; nothing is removed then.
	OK bool `json:"ok"`
	// Objects is how many containers the source gives.
	Objects int `json:"objects"`
	// Problems are the errors of its files, one line each, with a hint on the next where one helps.
	Problems []string  `json:"problems,omitzero"`
	ReadAt   time.Time `json:"readAt,omitzero"`
	// Blocked names the containers whose removal waits for `prune --confirm`.
	Blocked []string `json:"blocked,omitzero"`
}

// Action is one thing the agent would do now.
type Action struct {
	Name     string `json:"name"`
	Instance uint64 `json:"instance,omitzero"`
	// Verb is what would be done: Create, Start, Stop, Update, Pause, Resume, Destroy.
	Verb string `json:"verb"`
	// Cause says why, naming the field that differs where one does.
	Cause string `json:"cause"`
}

// Plan is everything the agent would do now; no actions means converged.
type Plan struct {
	Actions []Action `json:"actions"`
}

// Version is what an agent says of itself.
type Version struct {
	Version   string    `json:"version"`
	API       string    `json:"api"`
	Agent     string    `json:"agent"`
	Pid       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	Go        string    `json:"go"`
}

// APIVersion is the version of this interface.
const APIVersion = "v1"

// Feature is one thing a node can or cannot do.
type Feature struct {
	Name  string `json:"name"`
	Error string `json:"error,omitzero"`
}

// PruneRequest lets the removals go on that the guard holds back, for exactly one revision of a source.
type PruneRequest struct {
	Source   string `json:"source"`
	Revision string `json:"revision"`
}

// KillRequest is the body of a kill; no signal means SIGKILL.
type KillRequest struct {
	Signal string `json:"signal,omitzero"`
}

// LogOptions choose what of a container's output is read.
type LogOptions struct {
	Follow bool // go on with new output until the reader leaves
	// Previous reads what was written before the current start of the process.
	Previous   bool
	Timestamps bool      // put the time of each line in front of it
	Since      time.Time // zero: from the beginning
	Tail       int       // only the last lines; negative: all
	Stream     string    // stdout, stderr or, empty, both
}
