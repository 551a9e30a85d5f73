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
)

// Action is one thing to do to one instance, and why.
type Action struct {
	Name     string `json:"name"`
	Instance uint64 `json:"instance,omitzero"`
	// Verb is what is done: Create, Start, Stop, Kill, Update, Pause, Resume, Destroy, Checkpoint, Restore, Configure, Signal, Repair.
	Verb string `json:"verb"`
	// Cause says why, naming the field that differs where one does.
	Cause string `json:"cause"`

	// Container is what Create and Update work from, under version Defaults of the default values.
	Container spec.Container `json:"-"`
	Defaults  int            `json:"-"`
	// Signal and Timeout are how Stop and Kill ask.
	Signal  string        `json:"-"`
	Timeout time.Duration `json:"-"`
	// Configs are what Configure writes, and what is seen after Signal.
	Configs []spec.Projection `json:"-"`
	// Keep tells Destroy that a successor stays.
	Keep bool `json:"-"`
	// Image is what Restore begins from, NAME/ID, and Origin what is written down of the run that Start or Restore begins.
	Image  string        `json:"image,omitzero"`
	Origin record.Origin `json:"-"`
	// Options are how Checkpoint takes an image; Scheduled tells that nothing depends on its success, Until when it is given up, zero for its usual time.
	Options   spec.CheckpointOptions `json:"-"`
	Scheduled bool                   `json:"-"`
	Until     time.Time              `json:"-"`
	// Unhealthy is the run that Stop ends because its probe failed.
	Unhealthy record.Restart `json:"-"`
	// Handler is what PostStart does, and what is done before Stop.
	Handler *spec.Handler `json:"-"`
	// Tick is the run of a schedule that Start begins.
	Tick record.Tick `json:"-"`
	// Repair tells that it puts back what somebody else changed, and Fields what Repair is to put back.
	Repair bool     `json:"-"`
	Fields []string `json:"-"`
}

// changes tells whether an action is there because something is not as it should be: an image of the schedule is not.
func (a Action) changes() bool { return !a.Scheduled }
