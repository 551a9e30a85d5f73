package probe

import (
	"reflect"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Kind is one of a container's probes.
type Kind int

// The kinds, in the order in which they begin.
const (
	Startup Kind = iota
	Readiness
	Liveness

	kinds = 3
)

// String is the manifest's word.
func (k Kind) String() string { return [kinds]string{"startup", "readiness", "liveness"}[k] }

// of is the probe of a kind, nil when there is none.
func (k Kind) of(p spec.Probes) *spec.Probe {
	return [kinds]*spec.Probe{p.Startup, p.Readiness, p.Liveness}[k]
}

// unchanged tells whether a kind asks the same in two manifests.
func (k Kind) unchanged(a, b spec.Probes) bool { return reflect.DeepEqual(k.of(a), k.of(b)) }

// Health is what is known of a run of a container. The zero value is that nothing is.
type Health struct {
	// Started tells that the startup probe has succeeded, Ready that the readiness probe holds, Live that neither startup nor liveness has failed for good.
	Started bool `json:"started,omitzero"`
	Ready   bool `json:"ready,omitzero"`
	Live    bool `json:"live,omitzero"`
	// Message says of a container that is not all of it which probe failed last, and how.
	Message string `json:"message,omitzero"`
	// Since is when Started, Ready and Live became what they are.
	Since time.Time `json:"since,omitzero"`
}

// same tells whether two are alike in all but their age.
func (h Health) same(other Health) bool {
	h.Since = other.Since
	return h == other
}

// good tells whether nothing is wrong.
func (h Health) good() bool { return h.Started && h.Ready && h.Live }

// Result is what came of one question.
type Result struct {
	// Err is nil for a success, else what is told.
	Err  error
	Time time.Time
}

// State draws conclusions from results. It is a value: Feed changes nothing but it, and nothing else is looked at.
type State struct {
	probes   spec.Probes
	health   Health
	counts   [kinds]count
	messages [kinds]string // of the latest failures
}

// count is how many results of one kind in a row were alike.
type count struct{ successes, failures int }

// NewState is where a run begins whose probes are p: from what was known of it before or, if that is zero, from nothing. What there is no probe
// for is well. A container that was ready stays so until its probe says otherwise.
func NewState(p spec.Probes, known Health, now time.Time) State {
	s := State{probes: p, health: known}
	before := known
	if known == (Health{}) {
		s.health = Health{Live: true, Since: now}
		before = s.health
	}
	s.messages[s.health.lacks()] = known.Message
	s.settle(before, now)
	return s
}

// With is the state of the same run when its probes have changed: results of those that are as they were count on.
func (s State) With(p spec.Probes, now time.Time) State {
	next := NewState(p, s.health, now)
	for k := range Kind(kinds) {
		if k.unchanged(p, s.probes) {
			next.counts[k], next.messages[k] = s.counts[k], s.messages[k]
		}
	}
	return next
}

// Health is what is known.
func (s State) Health() Health { return s.health }

// Asks tells whether a kind is to be asked now: startup until it has succeeded, the others from then on. A probe that waits to be told is not asked.
func (s State) Asks(k Kind) bool {
	p := k.of(s.probes)
	return p != nil && !p.Notify && s.awaits(k)
}

// awaits tells whether results of a kind mean anything now.
func (s State) awaits(k Kind) bool {
	return k.of(s.probes) != nil && (k == Startup) != s.health.Started
}

// Feed takes a result, and tells whether Health has changed. One that comes too early or too late means nothing.
func (s *State) Feed(k Kind, r Result) (changed bool) {
	if !s.awaits(k) {
		return false
	}
	before, c, p := s.health, &s.counts[k], k.of(s.probes).Defaulted()
	if r.Err == nil {
		*c = count{successes: min(c.successes+1, p.SuccessThreshold)}
		if c.successes == p.SuccessThreshold {
			s.health.set(k, true)
		}
	} else {
		*c = count{failures: min(c.failures+1, p.FailureThreshold)}
		if c.failures == p.FailureThreshold {
			s.health.set(k, false)
		}
		s.messages[k] = k.String() + ": " + printable(r.Err.Error())
	}
	s.settle(before, r.Time)
	return !s.health.same(before)
}

// set notes that the threshold of a kind was reached.
func (h *Health) set(k Kind, well bool) {
	switch k {
	case Startup:
		h.Started, h.Live = well, well
	case Readiness:
		h.Ready = well
	case Liveness:
		h.Live = well
	}
}

// settle draws what follows: what has no probe is well as soon as the container has started, nothing is ready before, and who is well has no message. What
// failed now and then without consequence is not told, so that Health does not change with every result.
func (s *State) settle(before Health, now time.Time) {
	h := &s.health
	if s.probes.Startup == nil && !h.Started {
		h.Started, h.Live = true, true
	}
	if h.Started && s.probes.Liveness == nil {
		h.Live = true
	}
	h.Ready = h.Started && (h.Ready || s.probes.Readiness == nil)
	if h.Message = s.messages[h.lacks()]; h.good() {
		h.Message = ""
	}
	if h.Started != before.Started || h.Ready != before.Ready || h.Live != before.Live {
		h.Since = now
	}
}

// lacks is the kind that is to blame, of those that are the worst.
func (h Health) lacks() Kind {
	switch {
	case !h.Started:
		return Startup
	case !h.Live:
		return Liveness
	}
	return Readiness
}
