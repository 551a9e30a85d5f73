package reconcile

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The verbs of an Action, named after those of Node.
const (
	VerbCreate  = "Create"
	VerbStart   = "Start"
	VerbStop    = "Stop"
	VerbKill    = "Kill"
	VerbUpdate  = "Update"
	VerbPause   = "Pause"
	VerbResume  = "Resume"
	VerbDestroy = "Destroy"

	// VerbPostStart is no verb of Node: something is done in what runs.
	VerbPostStart = "PostStart"

	VerbCheckpoint = "Checkpoint"
	VerbRestore    = "Restore"
	VerbRepair     = "Repair"

	// VerbSignal is a signal, and once it is sent the note that the process has seen what is written.
	VerbConfigure = "Configure"
	VerbSignal    = "Signal"
)

// Action is one thing to do to one instance, and why.
type Action struct {
	Name     string `json:"name"`
	Instance uint64 `json:"instance,omitzero"`
	// Verb is what is done: Create, Start, Stop, Kill, Update, Pause, Resume, Destroy, PostStart, Checkpoint, Restore, Configure, Signal, Repair.
	Verb string `json:"verb"`
	// Cause says why, naming the field that differs where one does.
	Cause string `json:"cause"`

	// What a verb needs besides, the zero value for the others.

	// Create, Update: what it is made from, under the newest default values, and what it becomes.
	Container spec.Container `json:"-"`
	// Start, Restore: what is written down of the run that begins; Image is what Restore begins from, NAME/ID, and Tick the run of a schedule that Start begins.
	Origin record.Origin `json:"-"`
	Image  string        `json:"image,omitzero"`
	Tick   record.Tick   `json:"-"`
	// Stop, Kill, Signal: how it is asked, and how long Stop gives it; Unhealthy is the run that Stop ends because it fails.
	Signal    string         `json:"-"`
	Timeout   time.Duration  `json:"-"`
	Unhealthy record.Restart `json:"-"`
	// PostStart, Stop: what is done in it, and what is done before.
	Handler *spec.Handler `json:"-"`
	// Configure, Signal: what is written, and what is seen afterwards.
	Configs []spec.Projection `json:"-"`
	// Checkpoint: how, but for the cause; Scheduled tells that nothing depends on its success, Until when it is given up, zero for its usual time.
	Options   spec.CheckpointOptions `json:"-"`
	Scheduled bool                   `json:"-"`
	Until     time.Time              `json:"-"`
	// Repair: what is put back; Update, Pause, Resume with Repair as well: what somebody else changed.
	Fields []string `json:"-"`
	Repair bool     `json:"-"`
	// Destroy: a successor stays.
	Keep bool `json:"-"`
}

// changes tells whether an action is there because something is not as it should be: an image of the schedule is not.
func (a Action) changes() bool { return !a.Scheduled }
