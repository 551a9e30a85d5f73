package audit

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// lines are those on their way to one file, which run writes.
type lines struct {
	log    logr.Logger
	file   file
	queue  chan []byte
	missed atomic.Int64 // lines that did not get onto the disk, and of which it does not say so yet
	done   chan struct{}
	mu     sync.Mutex
	closed bool
}

func newLines(log logr.Logger, f file) *lines {
	return &lines{log: log.WithValues("file", filepath.Join(f.dir, f.name)), file: f, queue: make(chan []byte, maxQueue), done: make(chan struct{})}
}

// add writes a line soon.
func (l *lines) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	select {
	case l.queue <- line:
	default:
		l.missed.Add(1)
	}
}

// close returns when what was added is written, or cannot be.
func (l *lines) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	<-l.done
}

// run writes lines until the queue is closed. Only the first of several failures in a row is told.
func (l *lines) run() {
	defer close(l.done)
	defer l.file.close()
	failing := false
	for line := range l.queue {
		err := l.write(line)
		switch {
		case err != nil && !failing:
			l.log.Error(err, "the audit log has gaps: requests go on without it")
		case err == nil && failing:
			l.log.Info("the audit log is written again")
		}
		failing = err != nil
	}
}

// write writes a line, and before it how many are missing.
func (l *lines) write(line []byte) error {
	missed := l.missed.Load()
	if missed > 0 {
		line = append(fmt.Appendf(nil, "{\"time\":%q,\"missed\":%d}\n", time.Now().UTC().Format(time.RFC3339Nano), missed), line...)
	}
	if err := l.file.write(line); err != nil {
		l.missed.Add(1)
		return err
	}
	l.missed.Add(-missed)
	return nil
}
