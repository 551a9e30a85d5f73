package api

import (
	"sync"
	"time"
)

// Lines are sent so long after the first of them that is not, or when they are so many bytes: one by one, short ones would cost a system call each.
const (
	gatherTime  = 10 * time.Millisecond
	gatherBytes = 32 << 10
)

// gathering sends the lines of a log.
type gathering struct {
	o *output

	mu    sync.Mutex
	held  int // bytes that are not sent
	err   error
	ended bool
}

// line takes a line. An error is that of any line before.
func (g *gathering) line(line LogLine, timestamps bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == 0 {
		g.o.deadline()
		time.AfterFunc(gatherTime, g.due)
	}
	if timestamps && !line.Continues {
		g.write(append(line.Time.UTC().AppendFormat(nil, TimeFormat), ' '))
	}
	g.write(line.Bytes)
	if g.held >= gatherBytes {
		g.send()
	}
	return g.err
}

func (g *gathering) write(text []byte) {
	if g.err == nil {
		_, g.err = g.o.w.Write(text)
	}
	g.held += len(text)
}

func (g *gathering) send() {
	if g.err == nil {
		g.err = g.o.flush()
	}
	g.held = 0
}

// due sends what a timer was set for, or what came since that was sent.
func (g *gathering) due() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended && g.held > 0 {
		g.send()
	}
}

// end has nothing sent any more: what is left goes with the end of the answer.
func (g *gathering) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}
