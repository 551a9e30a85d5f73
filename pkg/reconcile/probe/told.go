package probe

import (
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Told takes what the run has said of itself by now, and tells whether Health has changed. It counts for probes that wait to be told, as it stands and not as
// news: it may be told again and again, and what was said before a startup probe of another kind has succeeded counts from then on.
func (s *State) Told(n spec.Notified, now time.Time) (changed bool) {
	before := s.health
	for _, k := range []Kind{Startup, Readiness} {
		if p := k.of(s.probes); p == nil || !p.Notify || !s.awaits(k) {
			continue
		}
		switch well := n.Ready || k == Startup && n.Started; {
		case well:
			s.health.set(k, true)
		case k == Readiness: // who has not started yet may still
			s.health.set(k, false)
		}
		s.messages[k] = k.String() + ": " + awaited(n)
	}
	s.settle(before, now)
	return !s.health.same(before)
}

// awaited says what is waited for, and what the container says meanwhile.
func awaited(n spec.Notified) string {
	text := "waits for READY=1"
	switch {
	case !n.Socket:
		return text + " of the next instance: this one has no socket to say it by"
	case n.Started:
		text = "waits for READY=1 again"
	}
	if n.Status != "" {
		text += ": " + n.Status
	}
	return printable(text)
}
