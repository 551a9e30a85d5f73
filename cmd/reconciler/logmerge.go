package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// maxMerged is how much of a line is held; a longer one comes as several.
const maxMerged = 64 << 10

// mergePause is how long a line waits for older ones of containers that say nothing, when what comes is followed.
const mergePause = 100 * time.Millisecond

// nameColours tell containers apart on a terminal, in turn.
var nameColours = []colour{"36", green, yellow, blue, "35"}

// logLine is a line of one container, or the end of its stream.
type logLine struct {
	from int
	time string // api.TimeFormat, which orders as text does
	text string
	err  error // io.EOF at the end
}

// merge prints the output of several containers in the order of its times.
func (l *logs) merge(ctx context.Context, names []string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	width := 0
	options := l.options
	options.Timestamps = true
	var (
		errs   []error
		bodies []io.Reader
		open   []string
	)
	for _, name := range names { // those of which nothing can be read keep nothing of the others back
		body, err := l.client().Logs(ctx, name, options)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot read the logs of %q: %w", name, err))
			continue
		}
		defer body.Close()
		width = max(width, len(name))
		bodies, open = append(bodies, body), append(open, name)
	}
	names = open
	m := newMerger(len(names), l.options.Follow)
	for i, body := range bodies {
		go m.read(ctx, i, body)
	}
	out := l.out.logWriter()
	for line := range m.lines(ctx) {
		if line.err != nil {
			if !errors.Is(line.err, io.EOF) {
				errs = append(errs, fmt.Errorf("cannot read on in the logs of %q: %w", names[line.from], line.err))
			}
			continue
		}
		var b strings.Builder
		if l.prefix {
			b.WriteString(l.out.paint(nameColours[line.from%len(nameColours)], fmt.Sprintf("%-*s", width, names[line.from])) + " | ")
		}
		if l.options.Timestamps {
			b.WriteString(line.time + " ")
		}
		b.WriteString(line.text + "\n")
		if _, err := io.WriteString(out, b.String()); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// merger gives the lines of several streams, the oldest of those at hand first. When they are followed, nobody waits long for one that says nothing.
type merger struct {
	follow  bool
	arrived chan logLine
	heads   []*logLine      // the next line of each stream, nil while it is not here
	since   []time.Time     // since when it is waited for
	wanted  []chan struct{} // one in there has the next line read
}

func newMerger(streams int, follow bool) *merger {
	m := &merger{follow, make(chan logLine), make([]*logLine, streams), make([]time.Time, streams), make([]chan struct{}, streams)}
	for i := range m.wanted {
		m.wanted[i] = make(chan struct{}, 1)
	}
	return m
}

// read takes the lines of a stream that has their times in front of them, and its end.
func (m *merger) read(ctx context.Context, from int, body io.Reader) {
	give := func(line logLine) (more bool) {
		select {
		case <-m.wanted[from]:
		case <-ctx.Done():
			return false
		}
		select {
		case m.arrived <- line:
			return line.err == nil
		case <-ctx.Done():
			return false
		}
	}
	in := bufio.NewReaderSize(body, maxMerged)
	at := ""
	for begins := true; ; {
		text, err := in.ReadSlice('\n')
		if begins && len(text) > len(api.TimeFormat) {
			at, text = string(text[:len(api.TimeFormat)]), text[len(api.TimeFormat)+1:]
		}
		begins = err == nil
		if len(text) > 0 && !give(logLine{from, at, strings.TrimSuffix(string(text), "\n"), nil}) {
			return
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			give(logLine{from: from, err: err})
			return
		}
	}
}

// lines gives all, with the end of each stream as an error.
func (m *merger) lines(ctx context.Context) iter.Seq[logLine] {
	return func(yield func(logLine) bool) {
		for i := range m.heads {
			m.want(i)
		}
		for open := len(m.heads); open > 0; {
			i, ok := m.oldest(ctx)
			if !ok {
				return
			}
			line := *m.heads[i]
			if line.err == nil {
				m.want(i)
			} else {
				open--
				m.heads[i], m.wanted[i] = nil, nil
			}
			if !yield(line) {
				return
			}
		}
	}
}

// want has the next line of a stream come.
func (m *merger) want(i int) {
	m.heads[i], m.since[i] = nil, time.Now()
	m.wanted[i] <- struct{}{}
}

// oldest waits for lines and tells which of them is next; !ok when ctx ends.
func (m *merger) oldest(ctx context.Context) (best int, ok bool) {
	for {
		best, pause := -1, time.Duration(-1) // for ever
		waits := false
		for i, head := range m.heads {
			switch {
			case head != nil:
				if best < 0 || head.time < m.heads[best].time {
					best = i
				}
			case m.wanted[i] == nil: // it has ended
			case !m.follow:
				waits = true
			case time.Since(m.since[i]) < mergePause:
				waits, pause = true, max(pause, mergePause-time.Since(m.since[i]))
			}
		}
		if best >= 0 && !waits {
			return best, true
		}
		var patience <-chan time.Time
		if best >= 0 && pause >= 0 {
			patience = time.After(pause)
		}
		select {
		case line := <-m.arrived:
			m.heads[line.from] = &line
		case <-patience:
		case <-ctx.Done():
			return 0, false
		}
	}
}
