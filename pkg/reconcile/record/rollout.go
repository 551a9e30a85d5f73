package record

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Rollout is how the manifest of the record's generation proves itself.
type Rollout struct {
	// Accepted is when it came into force, Began since when it could prove itself, zero while nothing may run.
	Accepted time.Time `json:"accepted,omitzero"`
	Began    time.Time `json:"began,omitzero"`
	// HealthySince is since when its container has been ready without a break.
	HealthySince time.Time         `json:"healthySince,omitzero"`
	Outcome      spec.RolloutState `json:"outcome,omitzero"`
	Message      string            `json:"message,omitzero"`
}

// Revision is a manifest that was in force before.
type Revision struct {
	Generation int64          `json:"generation"`
	Container  spec.Container `json:"container"`
	Rollout    Rollout        `json:"rollout,omitzero"`
}

// Rollback tells that an earlier manifest is in force in place of that of generation From.
type Rollback struct {
	From  int64           `json:"from"`
	To    int64           `json:"to"`
	By    spec.ReturnedBy `json:"by"`
	Why   string          `json:"why"`
	Since time.Time       `json:"since"`
}

// Health is what the probes of one run said last.
type Health struct {
	Instance uint64 `json:"instance"`
	Starts   int    `json:"starts"` // the run that start number Starts of the instance began
	probe.Health
}

// Revise puts the record's manifest into the history, which keeps so many, and the newest that has proven itself.
func (r *Record) Revise(keep int) {
	history := append([]Revision{}, r.History...)
	history = append(history, Revision{Generation: r.Generation, Container: r.Container, Rollout: r.Rollout})
	good := lastGood(history)
	drop := len(history) - keep
	r.History = history[:0:0]
	for i, revision := range history {
		if i >= drop || i == good {
			r.History = append(r.History, revision)
		}
	}
	r.Rollout = Rollout{}
}

// Good is the newest earlier manifest that has proven itself.
func (r Record) Good() (Revision, bool) {
	i := lastGood(r.History)
	if i < 0 {
		return Revision{}, false
	}
	return r.History[i], true
}

func lastGood(history []Revision) int {
	for i := len(history) - 1; i >= 0; i-- {
		if history[i].Rollout.Outcome == spec.RolloutHealthy {
			return i
		}
	}
	return -1
}

// Revision is the manifest of an earlier generation.
func (r Record) Revision(generation int64) (Revision, bool) {
	for _, revision := range r.History {
		if revision.Generation == generation {
			return revision, true
		}
	}
	return Revision{}, false
}

// RolledBack is the manifest in force in place of the newest, if there is one.
func (r Record) RolledBack() (Revision, bool) {
	if r.Rollback.From != r.Generation || r.Generation == 0 {
		return Revision{}, false
	}
	return r.Revision(r.Rollback.To)
}
