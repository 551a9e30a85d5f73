package api

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
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

// StatsList is what all containers use at one moment; those without an instance are left out.
type StatsList struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Items      []spec.Stats `json:"items"`
}

// KindStatsList is the Kind of a StatsList.
const KindStatsList = "StatsList"

// ListMetadata says which moment a list shows, so that a watch can go on from it.
type ListMetadata struct {
	// Agent identifies one life of an agent; resource versions of different lives cannot be compared.
	Agent string `json:"agent,omitzero"`
	// ResourceVersion is the newest change that the list contains.
	ResourceVersion uint64 `json:"resourceVersion,omitzero"`
}

// What the agent keeps and the API shows as it is.
type (
	// Change is one line of a watch of containers.
	Change = reconcile.Change
	// ChangeType says what happened to the object of a Change.
	ChangeType = reconcile.ChangeType
	// Event is something that happened, for people.
	Event = reconcile.Event
	// Source is a directory of manifests as the agent last read it.
	Source = reconcile.SourceStatus
	// Action is one thing the agent would do now.
	Action = reconcile.Action
	// Plan is everything the agent would do now; no actions means converged.
	Plan = reconcile.Actions
)

// The types of change. A Bookmark carries only a resource version and an agent: nothing changed up to it.
const (
	Added    = reconcile.Added
	Modified = reconcile.Modified
	Deleted  = reconcile.Deleted
	Bookmark = reconcile.Bookmark
)

// Version is what an agent says of itself.
type Version struct {
	Version   string    `json:"version"`
	API       string    `json:"api"`
	Agent     string    `json:"agent"`
	Pid       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	Go        string    `json:"go"`
	// Node is what the node calls itself.
	Node string `json:"node,omitzero"`
}

// APIVersion is the version of this interface.
const APIVersion = "v1"

// Feature is one thing a node can or cannot do.
type Feature struct {
	Name  string `json:"name"`
	Error string `json:"error,omitzero"`
}

// PruneRequest lets the removals go on that the guard holds back, for exactly the contents of a source that have this hash.
type PruneRequest struct {
	Source string `json:"source"`
	Hash   string `json:"hash"`
}

// KillRequest is the body of a kill; no signal means SIGKILL.
type KillRequest struct {
	Signal string `json:"signal,omitzero"`
}

// ImageList is the images of one container or of all.
type ImageList struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Items      []spec.Image `json:"items"`
}

// KindImageList is the Kind of an ImageList.
const KindImageList = "ImageList"

// RestoreRequest says which image a container starts from: NAME/ID, NAME for the newest of that container, or "" for its own newest.
type RestoreRequest struct {
	Image string `json:"image,omitzero"`
}

// KeepRequest is the body of a keep; no body means to keep.
type KeepRequest struct {
	Keep bool `json:"keep"`
}

// OverrideRequest is the body of pause, resume, start, stop, suspend and clear; none is for ever.
type OverrideRequest struct {
	// For is how long what is set by hand lasts. Default: until it is cleared.
	For spec.Duration `json:"for,omitzero"`
}

// UndoRequest is the body of undo. Default: the last manifest before that in force that has proven itself.
type UndoRequest struct {
	Generation int64 `json:"generation,omitzero"`
}

// DrainRequest says how long the containers may take to come down, and whether what can goes into an image.
type DrainRequest struct {
	Timeout    spec.Duration `json:"timeout,omitzero"`
	Checkpoint bool          `json:"checkpoint,omitzero"`
}

// ShutdownRequest says how long the containers may take to come down. Default: as long as the caller waits.
type ShutdownRequest struct {
	Timeout spec.Duration `json:"timeout,omitzero"`
}

// How often a watch of statistics may send, and does when its caller does not say.
const (
	ShortestInterval = 100 * time.Millisecond
	LongestInterval  = time.Hour
	DefaultInterval  = 2 * time.Second
)

// LogOptions choose what of a container's output is read.
type LogOptions struct {
	Follow bool // go on with new output until the reader leaves
	// Previous reads what was written before the current start of the process.
	Previous   bool
	Timestamps bool      // put the time of each line in front of it
	Since      time.Time // zero: from the beginning
	Until      time.Time // nothing newer; zero: to the end
	Tail       int       // only the last lines; negative: all
	Stream     string    // stdout, stderr or, empty, both
}
