package reconcile

import (
	"cmp"
	"reflect"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Desired is a container that is in force, immutable: its manifest, or the last good one.
type Desired struct {
	Container spec.Container
	Origin    Origin
	// Accepted says whether Container is what the newest file says.
	Accepted Acceptance
	// Since is when the scan was made in which it came; containers of a group that changed together have the same.
	Since time.Time
	// Guarded tells that the guard has held back the removal of the manifest, which nobody has confirmed since.
	Guarded bool
	// Hold says why nothing may be done about this name; "" when all may.
	Hold string

	document *spec.Document // what Container was read from, if it was
	hashes   *hashes        // of Container; nil where nobody keeps them
}

// hashes are the identities of one container by version of the defaults: they are asked for with every plan, and cost more than the rest of it.
type hashes struct {
	mu sync.Mutex
	of map[int]string
}

// identity is spec.Identity of the container.
func (d *Desired) identity(defaults int) string {
	if d.hashes == nil {
		return spec.Identity(d.Container, defaults)
	}
	d.hashes.mu.Lock()
	defer d.hashes.mu.Unlock()
	hash, ok := d.hashes.of[defaults]
	if !ok {
		hash = spec.Identity(d.Container, defaults)
		d.hashes.of[defaults] = hash
	}
	return hash
}

func newHashes() *hashes { return &hashes{of: map[int]string{}} }

// Origin is where a manifest was read.
type Origin struct {
	Source string // Source.Name; "" when no source is known to have given it
	Path   string
	Line   int
}

// Acceptance is the condition Accepted before it has a time.
type Acceptance struct {
	Status  spec.ConditionStatus
	Reason  string
	Message string
}

// is tells whether a document says the same.
func (d *Desired) is(document *spec.Document) bool {
	return d.document == document || reflect.DeepEqual(&d.Container, &document.Container)
}

// SourceUnclaimed stands for the source of containers that no source is known to have given.
const SourceUnclaimed = "unclaimed"

// Reasons of the condition Accepted.
const (
	ReasonValid             = "Valid"
	ReasonInvalid           = "Invalid" // its file has problems: the last good manifest is in force
	ReasonPolicyDenied      = spec.ReasonPolicyDenied
	ReasonSignatureInvalid  = spec.ReasonSignatureInvalid
	ReasonDuplicateName     = "DuplicateName"     // another file claims the name as well, in vain
	ReasonSourceUnavailable = "SourceUnavailable" // its source cannot be read completely
	ReasonUnclaimed         = "Unclaimed"         // no source has it, and none ever said that it was removed
	ReasonRemoving          = "Removing"          // seen removed once: a second look decides
	ReasonPruneBlocked      = "PruneBlocked"      // seen removed, together with too many others
)

// Incumbent is what holds a name before the first Admit: the manifest of its record.
func Incumbent(r record.Record) *Desired {
	return &Desired{Container: r.Container, Origin: Origin{r.Source, r.Path, r.Line}, Since: r.Rollout.Accepted, Guarded: r.Guarded, hashes: newHashes()}
}

// with is d as another admission has it; d itself when that is the same.
func (d *Desired) with(a Acceptance) *Desired {
	if d.Accepted == a {
		return d
	}
	copied := *d
	copied.Accepted = a
	return &copied
}

// state is what a manifest wants a container to be doing.
func state(c spec.Container) spec.State { return cmp.Or(c.Spec.State, spec.StateRunning) }
