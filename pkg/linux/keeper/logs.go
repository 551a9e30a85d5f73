package keeper

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// logs are the logs in use, one a directory, shared by the instances of a name.
type logs struct {
	mu    sync.Mutex
	byDir map[string]*sharedLog
	gone  int64 // bytes that could not be written, of those that are in use no more

	dropped atomic.Int64 // and of all, when last counted
}

// sharedLog is a log and how many use it. While its directory cannot be used it has no writer: output is then dropped and
// counted, because a container must never wait for its log. So it is, uncounted, where its newest user wants none.
type sharedLog struct {
	dir     string
	users   int
	writer  atomic.Pointer[log.Writer] // so that counting drops waits for nobody
	dropped atomic.Int64               // bytes, while there was no writer
	none    atomic.Bool                // there is none by intent

	mu     sync.Mutex
	limits log.Limits
	make   bool      // whether a missing directory is made: a start request says so, a record of one does not
	tried  time.Time // when the directory was last found useless
}

// open gives a log, with the newest user's limits, and makes its directory or does not. One whose directory cannot be used comes with the
// error why; close either.
func (l *logs) open(c Log, make bool) (*sharedLog, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.byDir[c.Dir]
	if s == nil {
		s = &sharedLog{dir: c.Dir}
		l.byDir[c.Dir] = s
	}
	s.users++
	return s, s.limit(c, make)
}

// close ends one use.
func (l *logs) close(s *sharedLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	if w := s.writer.Load(); w != nil {
		w.Close()
	}
	l.gone += s.Dropped()
	delete(l.byDir, s.dir)
}

// Dropped counts the bytes that could not be written; while a log is being opened, as they were before: a disk that does not answer holds up nobody who asks.
func (l *logs) Dropped() int64 {
	if l.mu.TryLock() {
		defer l.mu.Unlock()
		n := l.gone
		for _, s := range l.byDir {
			n += s.Dropped()
		}
		l.dropped.Store(n)
	}
	return l.dropped.Load()
}

// limit sets the limits and opens the writer if there is none, unless there is to be none.
func (s *sharedLog) limit(c Log, make bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits, s.make = log.Limits{MaxSize: c.MaxSize, MaxFiles: c.MaxFiles}, s.make || make
	s.none.Store(c.None)
	w := s.writer.Load()
	switch {
	case w != nil: // another instance of the name may still use it
		w.SetLimits(s.limits)
		return nil
	case c.None:
		return nil
	}
	return s.tryOpen()
}

// tryOpen opens the writer. The caller holds mu.
func (s *sharedLog) tryOpen() error {
	s.tried = time.Now()
	if _, err := os.Stat(s.dir); err != nil && !s.make {
		return err
	}
	w, err := log.OpenWriter(s.dir, s.limits)
	if err == nil {
		s.writer.Store(w)
	}
	return err
}

// ready gives the writer, looking for it now and then while there is none; then it is nil.
func (s *sharedLog) ready() *log.Writer {
	if s.none.Load() {
		return nil
	}
	if w := s.writer.Load(); w != nil {
		return w
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer.Load() == nil && time.Since(s.tried) >= retryPause {
		_ = s.tryOpen() // said when it failed first
	}
	return s.writer.Load()
}

// Begin notes the beginning of a run, if that can be.
func (s *sharedLog) Begin(run log.Run) {
	if w := s.ready(); w != nil {
		w.Begin(run)
	}
}

// End notes the end of a run, if that can be.
func (s *sharedLog) End(run log.Run) {
	if w := s.ready(); w != nil {
		w.End(run)
	}
}

// Drain takes what is in the pipe, or a good part of it, at most limit bytes if that is not 0, and returns how many bytes that was.
func (s *sharedLog) Drain(run log.Run, stream log.Stream, pipe *os.File, limit int64) (int64, error) {
	if w := s.ready(); w != nil {
		return w.Drain(run, stream, pipe, limit)
	}
	gone, err := discard(pipe, limit)
	if !s.none.Load() {
		s.dropped.Add(gone)
	}
	return gone, err
}

// Dropped counts the bytes that could not be written.
func (s *sharedLog) Dropped() int64 {
	n := s.dropped.Load()
	if w := s.writer.Load(); w != nil {
		n += w.Dropped()
	}
	return n
}

// discard takes what is in a pipe, at most limit bytes if that is not 0, without waiting for more, and returns how many bytes that was.
func discard(pipe *os.File, limit int64) (int64, error) {
	if limit == 0 {
		limit = pipeSize
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("cannot drop output: %w", err)
	}
	defer null.Close()
	for {
		n, err := unix.Splice(int(pipe.Fd()), nil, int(null.Fd()), nil, int(limit), unix.SPLICE_F_NONBLOCK)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("cannot drop output: %w", os.NewSyscallError("splice", err))
		}
		return int64(n), nil
	}
}
