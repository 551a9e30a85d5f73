package keeper

import (
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// logs are the writers in use, one a directory, shared by the instances of a name.
type logs struct {
	mu    sync.Mutex
	byDir map[string]*sharedLog
}

// sharedLog is a writer and how many use it.
type sharedLog struct {
	*log.Writer
	dir   string
	users int
}

// open gives the writer of a log, with the newest user's limits.
func (l *logs) open(c Log) (*sharedLog, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limits := log.Limits{MaxSize: c.MaxSize, MaxFiles: c.MaxFiles}
	s := l.byDir[c.Dir]
	if s == nil {
		w, err := log.OpenWriter(c.Dir, limits)
		if err != nil {
			return nil, err
		}
		s = &sharedLog{Writer: w, dir: c.Dir}
		l.byDir[c.Dir] = s
	}
	s.SetLimits(limits)
	s.users++
	return s, nil
}

// close ends one use.
func (l *logs) close(s *sharedLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users == 0 {
		s.Writer.Close()
		delete(l.byDir, s.dir)
	}
}
