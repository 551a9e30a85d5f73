package reconcile

import (
	"errors"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ErrExpired tells that changes or events are asked for that are forgotten, or of another life of the agent.
var ErrExpired = errors.New("too old: list and watch anew")

// Change is something that happened to an object.
type Change struct {
	Type   ChangeType  `json:"type"`
	Object spec.Object `json:"object"`
	// Agent is, of a Bookmark, the life of the agent that its version is of: who goes on from there says both.
	Agent string `json:"agent,omitzero"`
}

// ChangeType says what happened to the object of a Change.
type ChangeType string

// The types of change. A Bookmark carries only a resource version and an agent: nothing changed up to it.
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

// SourceStatus is a source as the agent last read it.
type SourceStatus struct {
	Name string `json:"name"`
	Path string `json:"path"`
	// Revision is what its writer calls the contents, as a commit; Hash when nothing says.
	Revision string `json:"revision,omitzero"`
	// Hash is a short hash of the contents: what a confirmed removal is bound to.
	Hash string `json:"hash,omitzero"`
	// Unsettled tells that what was read may not be all that Revision means: a file is being written, or a removal waits for a second look.
	Unsettled bool `json:"unsettled,omitzero"`
	// OK is false while the source cannot be read completely; nothing is removed then.
	OK bool `json:"ok"`
	// Objects is how many containers the source gives.
	Objects int `json:"objects"`
	// Problems are the errors of its files, one line each, with a hint on the next where one helps.
	Problems []string  `json:"problems,omitzero"`
	ReadAt   time.Time `json:"readAt,omitzero"`
	// Blocked names the containers whose removal waits for a confirmation.
	Blocked []string `json:"blocked,omitzero"`
}

// Actions is everything an agent would do now; none means converged.
type Actions struct {
	Actions []Action `json:"actions"`
}
