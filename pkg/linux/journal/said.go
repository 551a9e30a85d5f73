package journal

import (
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// source is what gives lines in the order of their places: a stream of a run. Notes stand at the place of the line behind them.
type source struct {
	stream log.Stream
	run    log.Run
	note   bool
}

// latest is the last line of a source.
type latest struct {
	source
	at   log.Place
	time time.Time
	// A line that has not ended comes in pieces, or once more and whole.
	open  bool
	begin log.Place // of its first piece
	size  int       // of what was given
}

// maxSources bounds what is remembered. An agent that was killed sends again what it sent in the last seconds.
const maxSources = 64

// said knows lines that were sent twice. Backwards, what was sent last is what counts.
type said struct {
	backwards bool
	of        []latest
}

// again tells whether a line was there before; of one whose beginning was there, it leaves the rest.
func (s *said) again(l *log.Line) bool {
	if l.At == (log.Place{}) { // a note of an older agent
		return false
	}
	b := s.find(source{l.Stream, l.Run, l.Dropped > 0})
	switch {
	case b.at == (log.Place{}), !s.backwards && (b.at.Before(l.At) || l.Time.After(b.time)), s.backwards && (l.At.Before(b.at) || l.Time.Before(b.time)):
		if !b.open {
			b.begin, b.size = l.At, 0
		}
		b.at, b.time = l.At, l.Time
	case b.open && l.At == b.begin && (len(l.Text) > b.size || len(l.Text) == b.size && !l.Partial):
		l.Text = l.Text[b.size:]
	default:
		return true
	}
	b.size += len(l.Text)
	b.open = l.Partial && !s.backwards
	return false
}

// find gives the latest of a source; its place is zero if there is none.
func (s *said) find(of source) *latest {
	i := slices.IndexFunc(s.of, func(b latest) bool { return b.source == of })
	if i < 0 {
		if len(s.of) == maxSources {
			s.of = slices.Delete(s.of, 0, 1)
		}
		s.of = append(s.of, latest{source: of})
		i = len(s.of) - 1
	}
	return &s.of[i]
}
