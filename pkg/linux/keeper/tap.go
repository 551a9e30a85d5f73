package keeper

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a listener that takes nothing may hold up a stream of a container. Then it misses what it cannot take.
const patience = time.Second

// stallPause is the wait before output that somebody holds up is looked at again.
const stallPause = 10 * time.Millisecond

// tap is where a listener gets its copy of one stream. tee(2) copies a pipe from its head on only, and takes nothing out of it: so a tap that
// has a copy is ahead of the log, and gets no more until the log has moved as much.
//
//	level --tee: some--> ahead --the log moved as much--> level
//	level --tee: nothing--> stalled --tee: some--> ahead
//
// The log moves at once what every tap has: nothing while one is stalled, until that one has tried the container's patience.
type tap struct {
	pipe    *os.File  // nil for a stream that is not wanted, or not any more
	ahead   int64     // how many bytes it has of what the container's pipe still holds
	stalled time.Time // since when it takes nothing; zero while it does
}

// copyFrom gives the tap a copy of up to n bytes of a pipe, unless it is ahead. It tells how many the tap has, and whether that counts: it does
// not when nobody reads there, or has not for too long.
func (t *tap) copyFrom(pipe *os.File, n int) (has int64, counts bool) {
	if t.pipe == nil || t.ahead > 0 {
		return t.ahead, t.pipe != nil
	}
	copied, err := unix.Tee(int(pipe.Fd()), int(t.pipe.Fd()), n, unix.SPLICE_F_NONBLOCK)
	switch {
	case err == nil && copied > 0:
		t.ahead, t.stalled = copied, time.Time{}
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		if t.stalled.IsZero() {
			t.stalled = time.Now()
		}
		return 0, time.Since(t.stalled) < patience
	default:
		t.pipe = nil // nobody reads it any more; its file is closed by who brought it
	}
	return t.ahead, t.pipe != nil
}

// copyOut copies what is in pipe i to the listeners and tells how much of it may now go to the log; all of it if nobody is to be waited for. The
// caller holds io, and tells what went there.
func (in *instance) copyOut(i int, all bool) (limit int64) {
	n := holds(in.pipes[i])
	limit = int64(n)
	for _, l := range in.listeners {
		if has, counts := l.taps[i].copyFrom(in.pipes[i], n); counts && !all {
			limit = min(limit, has)
		}
	}
	return limit
}

// holds is how many bytes are in a pipe.
func holds(pipe *os.File) int {
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// wentOn tells the listeners how much of pipe i went to the log. The caller holds io.
func (in *instance) wentOn(i int, moved int64) {
	for _, l := range in.listeners {
		l.taps[i].ahead = max(l.taps[i].ahead-moved, 0)
	}
}
