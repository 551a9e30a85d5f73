package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
)

// The fields of a container's line beside MESSAGE, PRIORITY, SYSLOG_IDENTIFIER and SYSLOG_TIMESTAMP. The first three are podman's and docker's.
const (
	fieldName     = "CONTAINER_NAME"
	fieldID       = "CONTAINER_ID"
	fieldPartial  = "CONTAINER_PARTIAL_MESSAGE"
	fieldStream   = "RECONCILER_STREAM"   // stdout or stderr
	fieldInstance = "RECONCILER_INSTANCE" // and how many starts there were in it, see log.Run
	fieldStart    = "RECONCILER_START"
	fieldLog      = "RECONCILER_LOG"    // the directory of the log that the line came from: unique among the nodes of a machine
	fieldAt       = "RECONCILER_OFFSET" // SEGMENT:OFFSET in there
	fieldDropped  = "RECONCILER_DROPPED_BYTES"
)

// stateFile keeps in a log's directory how far the journal has it. Others may be able to write there, so a link in its place is not followed.
const (
	stateFile = "journal.json"
	maxState  = 4 << 10
)

// Pauses between looks at a log that does not grow, between writes of how far the journal has it, and after a journal that takes nothing. Patience is how long
// one line waits, and turn how long one goes on before it looks around again.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 500 * time.Millisecond
	savePause  = time.Second
	retryPause = time.Second
	patience   = time.Second
	turn       = time.Second
)

// grace is how much older than the wish for the journal a line may be.
const grace = 10 * time.Second

// Target says how the output of a container goes to the journal.
type Target struct {
	Dir    string  // of its log
	Fields []Field // beside those that each line has by itself
	Remove bool    // the journal is to have it alone: what is there is removed from the log
}

// Forwarder moves the output of containers from their logs to the journal. A container never waits for it: it writes to its log, and what the bounds of that
// have removed before the journal has taken it is counted and told. After a crash, and while the journal is away, it goes on where it was.
type Forwarder struct {
	conn    *Conn
	log     logr.Logger
	dropped atomic.Int64
	failing atomic.Bool // the journal took nothing when it was last tried

	work sync.WaitGroup

	mu   sync.Mutex
	jobs map[string]*job
	past map[string]chan struct{} // closed when the last job of a name that is over has ended
	next chan time.Time           // closed when it is time for a look at all logs that do not grow
}

// NewForwarder makes one that writes to a journal and says to log when that is away and when it is back.
func NewForwarder(conn *Conn, log logr.Logger) *Forwarder {
	return &Forwarder{conn: conn, log: log, jobs: map[string]*job{}, past: map[string]chan struct{}{}}
}

// Dropped is about how many bytes of output did not reach the journal.
func (f *Forwarder) Dropped() int64 { return f.dropped.Load() }

// Set has the output of a container go to the journal from now on, or as the target now says; with the zero Target, not any more, once what is there
// has gone. All ends with the ctx of the first call of a name.
func (f *Forwarder) Set(ctx context.Context, name string, t Target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.jobs[name]
	switch {
	case j != nil && t.Dir != "":
		j.target.Store(&t)
	case j != nil:
		f.end(j)
	case t.Dir != "":
		j = &job{f: f, name: name, over: make(chan struct{}), done: make(chan struct{})}
		j.target.Store(&t)
		f.jobs[name] = j
		before := f.past[name]
		f.work.Go(func() {
			defer f.ended(j)
			if before != nil { // two would move the same lines
				<-before
			}
			j.run(ctx)
		})
	}
}

// end has a job move what is there and no more.
func (f *Forwarder) end(j *job) {
	delete(f.jobs, j.name)
	f.past[j.name] = j.done
	close(j.over)
}

func (f *Forwarder) ended(j *job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(j.done)
	if f.past[j.name] == j.done {
		delete(f.past, j.name)
	}
}

// wants tells whether a job of a name is under way or waits for the one before it.
func (f *Forwarder) wants(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.jobs[name] != nil
}

// Retain is Set with the zero Target for all names but those.
func (f *Forwarder) Retain(names map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, j := range f.jobs {
		if !names[name] {
			f.end(j)
		}
	}
}

// tick is closed when it is time for a look at a log that does not grow. All such logs have it together: a node with many that say nothing wakes up for all
// of them at once.
func (f *Forwarder) tick() <-chan time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == nil {
		f.next = make(chan time.Time)
		time.AfterFunc(lastPause, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			close(f.next)
			f.next = nil
		})
	}
	return f.next
}

// Wait waits until all have ended, by Set or by their ctx.
func (f *Forwarder) Wait() { f.work.Wait() }

// job moves the output of one container.
type job struct {
	f      *Forwarder
	name   string
	target atomic.Pointer[Target]
	over   chan struct{} // closed when no more is wanted
	done   chan struct{} // closed when it has ended

	follower *log.Follower
	unsent   []log.Line // what the journal did not take, in order
	rotated  bool       // a segment was left behind
	saved    log.Place
	savedAt  time.Time
	entry    []byte
}

// run moves output until ctx ends or no more is wanted.
func (j *job) run(ctx context.Context) {
	dir := j.target.Load().Dir
	j.saved = log.Place{Offset: -1} // nothing
	j.follow(begin(dir, !j.isOver()))
	defer func() { j.follower.Close() }()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		last := j.isOver()
		moved, err := j.move(ctx, last)
		if err != nil {
			pause = retryPause
		} else if moved {
			pause = firstPause
		}
		if last {
			j.end(err)
			return
		}
		wait := j.f.tick
		if pause != lastPause {
			wait = func() <-chan time.Time { return time.After(pause) }
		}
		select {
		case <-ctx.Done():
			j.save()
			return
		case <-j.over:
		case <-wait():
		}
	}
}

// end counts what does not reach the journal any more, and says so; if it is wanted again, it goes on there.
func (j *job) end(err error) {
	left := j.follower.Left()
	for _, line := range j.unsent {
		left += int64(len(line.Text)) + 1
	}
	if left == 0 && !j.f.wants(j.name) {
		dir := j.target.Load().Dir
		_, _ = os.Remove(filepath.Join(dir, stateFile)), os.Remove(dir) // unless its container is gone with all; the directory if it has nothing else
		return
	}
	if j.save(); left == 0 {
		return
	}
	j.f.dropped.Add(left)
	if err == nil {
		err = os.ErrDeadlineExceeded
	}
	j.f.log.Error(err, "output of a container does not reach the journal any more", "container", j.name, "bytes", left)
}

func (j *job) isOver() bool {
	select {
	case <-j.over:
		return true
	default:
		return false
	}
}

// follow goes on at a place.
func (j *job) follow(from log.Place) {
	if j.follower != nil {
		j.follower.Close()
	}
	j.unsent = nil
	j.follower = log.NewFollower(j.target.Load().Dir, from)
	j.follower.Passed = func() {
		j.rotated = true
		j.save()
	}
}

// move moves what is there, for a while: who writes faster than the journal takes would never have done. After an error it goes on where that was.
func (j *job) move(ctx context.Context, last bool) (moved bool, err error) {
	if !last && len(j.unsent) == 0 && !j.follower.Grown() {
		j.saveNow()
		return false, nil
	}
	t := j.target.Load()
	stop := time.Now().Add(turn)
	if last { // there is no other
		stop = stop.Add(10 * turn)
	}
	for len(j.unsent) > 0 {
		if err := j.try(t, j.unsent[0]); err != nil {
			return moved, err
		}
		moved, j.unsent = true, j.unsent[1:]
	}
	failed := j.follower.Read(last, func(line log.Line) bool {
		if line.Removed {
			j.f.dropped.Add(line.Dropped)
		}
		if err == nil {
			err = j.try(t, line)
		}
		if err != nil {
			line.Text = bytes.Clone(line.Text)
			j.unsent = append(j.unsent, line)
		}
		moved = moved || err == nil
		return err == nil && ctx.Err() == nil && time.Now().Before(stop)
	})
	if failed != nil {
		j.follow(j.place())
	}
	j.saveNow()
	return moved, errors.Join(err, failed)
}

// try writes a line, and says when the journal goes and comes.
func (j *job) try(t *Target, line log.Line) error {
	err := j.send(t, line)
	j.f.tell(err)
	return err
}

// place is where a successor goes on.
func (j *job) place() log.Place {
	at := j.follower.Place()
	if len(j.unsent) > 0 && j.unsent[0].At.Before(at) {
		return j.unsent[0].At
	}
	return at
}

// send writes one line.
func (j *job) send(t *Target, line log.Line) error {
	message, priority := line.Text, PriorityInfo
	if line.Stream == log.Stderr {
		priority = PriorityError
	}
	own := []Field{
		{fieldStream, line.Stream.String()},
		{fieldAt, fmt.Sprintf("%d:%d", line.At.Segment, line.At.Offset)},
	}
	switch {
	case line.Dropped > 0:
		why := "could not be written"
		if line.Removed {
			why = "came faster than the journal takes them"
			own[0].Value = "" // of both
		}
		message, priority = Missing(line.Dropped, why), PriorityWarning
		own = append(own, Field{fieldDropped, strconv.FormatInt(line.Dropped, 10)})
	case line.Partial:
		own = append(own, Field{fieldPartial, "true"})
	}
	if line.Run.Instance > 0 {
		instance := strconv.FormatUint(line.Run.Instance, 10)
		own = append(own, Field{fieldID, j.name + "/" + instance}, Field{fieldInstance, instance}, Field{fieldStart, strconv.FormatUint(uint64(line.Run.Start), 10)})
	}
	return j.write(t, message, priority, line.Time, own)
}

// Missing is what stands in place of output that is lost.
func Missing(bytes int64, why string) []byte {
	return fmt.Appendf(nil, "[%d bytes of output %s and are lost]", bytes, why)
}

// write writes an entry.
func (j *job) write(t *Target, message []byte, priority string, at time.Time, own []Field) error {
	entry := Append(j.entry[:0], "MESSAGE", message)
	entry = AppendFields(entry, Field{"PRIORITY", priority}, Field{"SYSLOG_IDENTIFIER", j.name}, Field{fieldName, j.name}, Field{fieldLog, t.Dir})
	if !at.IsZero() {
		entry = AppendFields(entry, Field{fieldTime, at.UTC().Format(timeFormat)})
	}
	entry = AppendFields(AppendFields(entry, own...), t.Fields...)
	j.entry = entry
	return j.f.conn.Send(entry, patience)
}

// tell says when the journal goes and comes.
func (f *Forwarder) tell(err error) {
	switch {
	case err != nil && !f.failing.Swap(true):
		f.log.Error(err, "output does not reach the journal; what the logs of the containers can hold waits for it")
	case err == nil && f.failing.Load() && f.failing.Swap(false):
		f.log.Info("output reaches the journal again")
	}
}

// saveNow saves if it is time to.
func (j *job) saveNow() {
	if time.Since(j.savedAt) >= savePause {
		j.save()
	}
}

// save writes down how far the journal has the log, and then removes the segments before it that the journal is to have alone: what is removed counts as sent
// for a successor. It is not synced: after a power failure lines may come twice, and readers know such by their place.
func (j *job) save() {
	at, t := j.place(), j.target.Load()
	remove := func() {
		if j.rotated && t.Remove {
			j.follower.Remove(at.Segment)
		}
	}
	if at != j.saved {
		if j.follower.Gone() {
			return // it is another log than that of the place
		}
		err := save(t.Dir, at)
		if errors.Is(err, unix.ENOSPC) { // better too much is told as lost
			remove()
			err = save(t.Dir, at)
		}
		if err != nil {
			return // there is no log yet
		}
		j.saved = at
		remove()
	}
	j.savedAt = time.Now()
}

func save(dir string, at log.Place) error {
	data, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return statefile.Replace(filepath.Join(dir, stateFile), data, 0o600, false)
}

// begin is where a log is to be followed from: where it was, else from now on, or a little before. Of one that begins after this, a successor gets all.
func begin(dir string, wanted bool) (at log.Place) {
	data, err := statefile.Read(filepath.Join(dir, stateFile), maxState)
	if err == nil && json.Unmarshal(data, &at) == nil {
		return at
	}
	if wanted && errors.Is(err, fs.ErrNotExist) && os.Mkdir(dir, 0o750) == nil {
		at.Segment = 1    // what is gone of a log that was not there before was never sent
		_ = save(dir, at) // else with the first lines
		return at
	}
	at, _ = log.Since(dir, time.Now().Add(-grace)) // one that cannot be read is read from its beginning, when it can
	return at
}
