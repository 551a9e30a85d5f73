// Package audit writes down who asked an agent to change what: one line of JSON a request, in a file of bounded size. It refuses to
// know what a request does, and to hold anybody up: what cannot be written is counted, and said as soon as it can be.
package audit

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// Record is one request.
type Record struct {
	// Time is when it came, ID the answer's Request-Id.
	Time time.Time `json:"time"`
	ID   string    `json:"id"`
	// UID, GID and Pid are the caller's as the kernel has recorded them at connect(2); Comm is what the process called itself then.
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Pid  int32  `json:"pid"`
	Comm string `json:"comm,omitzero"`
	Role string `json:"role"`

	Method string `json:"method"`
	Path   string `json:"path"`
	Query  string `json:"query,omitzero"`
	// Body is what was asked for, without secrets.
	Body json.RawMessage `json:"body,omitempty"`

	// Status is the answer's, Reason and Message what it gives for a refusal. Took is how long it took.
	Status  int    `json:"status"`
	Reason  string `json:"reason,omitzero"`
	Message string `json:"message,omitzero"`
	Took    string `json:"took"`
}

// The bounds of a log.
const (
	maxQueue = 1024    // lines that wait for the disk
	maxBody  = 4 << 10 // of a line; a larger one is named by its size
	maxFile  = 8 << 20 // bytes of one file
	oldFiles = 3       // files beside it: audit.log.1 is the newest of them
	FileName = "audit.log"
)

// Log takes records from many goroutines, and waits for none of them. A nil one drops them. Make one with Open.
type Log struct {
	log    logr.Logger
	file   file
	queue  chan []byte
	missed atomic.Int64 // lines that did not get onto the disk, and of which it does not say so yet
	done   chan struct{}
	mu     sync.Mutex
	closed bool
}

// Open makes a log in the file audit.log of a directory, which need not be there yet. What cannot be written is told to log.
func Open(dir string, log logr.Logger) *Log {
	l := &Log{log: log, file: file{dir: dir}, queue: make(chan []byte, maxQueue), done: make(chan struct{})}
	go l.run()
	return l
}

// Add writes a record soon.
func (l *Log) Add(r Record) {
	if l == nil {
		return
	}
	line := encode(r)
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

// encode makes a line; a body that is too large is named by its size.
func encode(r Record) []byte {
	if len(r.Body) > maxBody {
		r.Body = fmt.Appendf(nil, `"%d bytes"`, len(r.Body))
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic("audit: a record is always JSON: " + err.Error())
	}
	return append(line, '\n')
}

// Close returns when what was added is written, or cannot be.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	<-l.done
}

// run writes lines until the queue is closed. Only the first of several failures in a row is told.
func (l *Log) run() {
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
func (l *Log) write(line []byte) error {
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
