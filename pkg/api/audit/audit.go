// Package audit writes down who asked an agent to change what: one line of JSON a request, in files of bounded size, those refused apart from the others. It
// refuses to know what a request does, and to hold anybody up: what cannot be written is counted, and said as soon as it can be.
package audit

import (
	"encoding/json"
	"fmt"
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

	// Refused tells that the caller's role does not allow the request: it goes to a file of its own.
	Refused bool `json:"-"`
}

// The bounds of a log.
const (
	maxQueue = 1024    // lines that wait for the disk, of each file
	maxBody  = 4 << 10 // of a line; a larger one is named by its size
	maxText  = 512     // bytes of a path, a query or a message; a longer one is cut
)

// The files of a log.
const (
	FileName    = "audit.log"
	RefusedName = "audit.refused.log"
)

// Log takes records from many goroutines, and waits for none of them. A nil one drops them. Make one with Open.
type Log struct{ accepted, refused *lines }

// Open makes a log in the files audit.log and audit.refused.log of a directory, which need not be there yet: who is refused, however often, takes no room from
// what was done. What cannot be written is told to log.
func Open(dir string, log logr.Logger) *Log {
	l := &Log{newLines(log, file{dir: dir, name: FileName, max: 8 << 20, old: 3}), newLines(log, file{dir: dir, name: RefusedName, max: 1 << 20, old: 1})}
	go l.accepted.run()
	go l.refused.run()
	return l
}

// Add writes a record soon.
func (l *Log) Add(r Record) {
	switch {
	case l == nil:
	case r.Refused:
		l.refused.add(encode(r))
	default:
		l.accepted.add(encode(r))
	}
}

// Close returns when what was added is written, or cannot be.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.accepted.close()
	l.refused.close()
}

// encode makes a line; a body that is too large is named by its size.
func encode(r Record) []byte {
	if len(r.Body) > maxBody {
		r.Body = fmt.Appendf(nil, `"%d bytes"`, len(r.Body))
	}
	for _, text := range []*string{&r.Path, &r.Query, &r.Message} {
		if len(*text) > maxText {
			*text = fmt.Sprintf("%s... (%d bytes)", (*text)[:maxText], len(*text))
		}
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic("audit: a record is always JSON: " + err.Error())
	}
	return append(line, '\n')
}
