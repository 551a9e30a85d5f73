package log

import (
	"bytes"
	"slices"
	"time"
)

// Bounds of what is held of lines that have not ended.
const (
	maxLine = 64 << 10 // a longer line comes in pieces
	maxOpen = 8        // streams of runs with a line under way; beyond it the oldest is given up
)

// Line is a line of output, or a note that output is missing.
type Line struct {
	Time   time.Time // when its first bytes were read; zero if the index does not say
	Stream Stream    // never zero
	Run    Run       // zero if the index does not say
	// Text is the line without its newline, good until the next line is asked for.
	Text []byte
	// Partial tells that no newline follows: the line is longer than 64 KiB and goes on, or the process ended within it.
	Partial bool
	// Dropped, if not zero, counts bytes that were lost here because the log could not be written. Text is empty.
	Dropped int64
	// Removed tells of Dropped that so much, or about, was removed before a Follower came to it.
	Removed bool
	// At is where in the log it begins.
	At Place
}

// lines joins pieces to lines and gives them to yield until that returns false.
type lines struct {
	yield func(Line) bool
	open  []Line // lines under way, oldest first
	done  bool   // yield wants no more
}

// add takes the next piece.
func (l *lines) add(p piece) {
	switch p.kind {
	case kindBegin: // an earlier start of the instance cannot say more
		l.flush(func(r Run) bool { return r.Instance == p.run.Instance })
	case kindEnd:
		l.flush(func(r Run) bool { return r == p.run })
	case kindDropped:
		l.flush(func(r Run) bool { return r == p.run })
		l.give(Line{Time: p.time, Stream: Stdout, Run: p.run, Dropped: int64(p.count), At: p.at})
	default:
		l.text(p)
	}
}

// text splits bytes into lines.
func (l *lines) text(p piece) {
	for data := p.data; len(data) > 0 && !l.done; {
		text, rest, ended := bytes.Cut(data, []byte{'\n'})
		at := Place{p.at.Segment, p.at.Offset + int64(len(p.data)-len(data))}
		i := l.find(p, at)
		line := &l.open[i]
		if room := maxLine - len(line.Text); len(text) > room {
			line.Text = append(line.Text, text[:room]...)
			line.Partial = true
			l.give(*line)
			line.Text, line.Time, line.At, line.Partial = line.Text[:0], p.time, Place{at.Segment, at.Offset + int64(room)}, false
			data = data[room:]
			continue
		}
		line.Text = append(line.Text, text...)
		data = rest
		if ended {
			l.give(*line)
			l.open = slices.Delete(l.open, i, i+1)
		}
	}
}

// find gives the index of the line under way that a piece continues, begun there if there is none.
func (l *lines) find(p piece, at Place) int {
	stream := Stream(p.kind)
	for i, line := range l.open {
		if line.Stream == stream && line.Run == p.run {
			return i
		}
	}
	if len(l.open) == maxOpen {
		l.flushOne(0)
	}
	l.open = append(l.open, Line{Time: p.time, Stream: stream, Run: p.run, At: at})
	return len(l.open) - 1
}

// flush gives the lines under way of some runs as they are.
func (l *lines) flush(of func(Run) bool) {
	for i := 0; i < len(l.open); {
		if of(l.open[i].Run) {
			l.flushOne(i)
		} else {
			i++
		}
	}
}

func (l *lines) flushOne(i int) {
	line := l.open[i]
	line.Partial = true
	l.open = slices.Delete(l.open, i, i+1)
	l.give(line)
}

// give hands a line over, unless no more are wanted.
func (l *lines) give(line Line) {
	if !l.done {
		l.done = !l.yield(line)
	}
}
