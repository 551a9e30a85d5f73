package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Options select lines. The zero value selects all that are there.
type Options struct {
	Stream   Stream    // only this stream
	Since    time.Time // only lines that began then or later
	Until    time.Time // nothing that was read from the container after that; a follower ends then
	Tail     int       // only the last so many of them; 0 for all
	Previous bool      // only the run before the latest one
	Follow   bool      // go on with what comes until the context ends; not with Previous
}

// Pauses of a follower between looks at a log that does not grow. inotify(7) is no help: kernels before 6.6 do not report splice.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// Read gives the lines of the log in dir, in the order they were read from the container, until they end, ctx ends, or an error,
// which comes last. A log that does not exist has no lines; to a follower it may come to exist. Segments removed by the
// writer meanwhile are passed over. Memory does not grow with the log.
func Read(ctx context.Context, dir string, o Options) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		r := &reader{dir: dir, Options: o}
		if o.Previous {
			r.Follow = false
		}
		defer r.close()
		if r.Follow && !o.Until.IsZero() {
			var stop context.CancelFunc
			ctx, stop = context.WithDeadline(ctx, o.Until.Add(lastPause))
			defer stop()
		}
		wanted := true
		err := r.read(ctx, func(l Line) bool {
			wanted = yield(l, nil)
			return wanted
		})
		if err != nil && wanted {
			yield(Line{}, fmt.Errorf("cannot read log: %w", err))
		}
	}
}

// end is where a log ended when it was looked at.
type end struct {
	segment uint64
	offset  int64
}

// reader reads one log.
type reader struct {
	Options
	dir  string
	fd   *os.File
	only *Run // the run of Previous
	at   *cursor
}

func (r *reader) close() {
	if r.at != nil {
		r.at.close()
	}
	if r.fd != nil {
		r.fd.Close()
	}
}

// read gives the selected lines to yield.
func (r *reader) read(ctx context.Context, yield func(Line) bool) error {
	ns, err := r.list(ctx)
	if err != nil || len(ns) == 0 {
		return err
	}
	until, err := r.size(ns[len(ns)-1])
	if err != nil {
		return err
	}
	if r.Previous {
		if err := r.findPrevious(ns); err != nil || r.only == nil {
			return err
		}
	}
	if ns, err = r.since(ns); err != nil {
		return err
	}
	from, skip, err := r.tail(ctx, ns, until)
	if err != nil {
		return err
	}
	bound := &until
	if r.Follow {
		bound = nil
	}
	return r.walk(ctx, from, bound, func(l Line) bool {
		if skip > 0 {
			skip--
			return true
		}
		return yield(l)
	})
}

// list lists the segments, once there is one if the reader follows.
func (r *reader) list(ctx context.Context) ([]uint64, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		ns, err := segments(r.dir)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case len(ns) > 0:
			r.fd, err = openDir(r.dir)
			return ns, err
		case !r.Follow || !sleep(ctx, pause):
			return nil, nil
		}
	}
}

// size tells where segment n ends now; one that the writer has just removed ends at its beginning.
func (r *reader) size(n uint64) (end, error) {
	f, size, err := openFile(r.fd, fileName(n, rawSuffix), unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return end{n, 0}, nil
	}
	if err != nil {
		return end{}, err
	}
	return end{n, size}, f.Close()
}

// walk gives the selected lines from the beginning of a segment up to an end or, if that is nil, until ctx ends.
func (r *reader) walk(ctx context.Context, from uint64, until *end, yield func(Line) bool) error {
	l := &lines{yield: func(line Line) bool {
		return !r.Since.IsZero() && line.Time.Before(r.Since) || yield(line)
	}}
	err := r.pieces(ctx, from, until, func(p piece) bool {
		if r.selects(p) {
			l.add(p)
		}
		return !l.done
	})
	l.flush(func(Run) bool { return true })
	return err
}

// selects tells whether a piece is of the time, stream and run wanted.
func (r *reader) selects(p piece) bool {
	if !r.Until.IsZero() && p.time.After(r.Until) {
		return false
	}
	if r.Stream != 0 && p.kind.bytes() && Stream(p.kind) != r.Stream {
		return false
	}
	return r.only == nil || *r.only == p.run
}

// pieces gives all pieces from the beginning of a segment up to an end or, if that is nil, until ctx ends.
func (r *reader) pieces(ctx context.Context, from uint64, until *end, yield func(piece) bool) error {
	if more, err := r.advance(from, until); !more || err != nil {
		return err
	}
	pause := firstPause
	for ctx.Err() == nil {
		// A later segment means that this one has stopped growing, so what is found in it after that look is all.
		next, err := r.next(r.at.n + 1)
		if err != nil {
			return err
		}
		moved, wanted, err := r.exhaust(yield)
		if err != nil || !wanted {
			return err
		}
		if moved {
			pause = firstPause
		}
		switch {
		case until != nil && r.at.n >= until.segment || until != nil && next == 0:
			return nil
		case next != 0:
			if _, err := r.advance(next, until); err != nil {
				return err
			}
		case !sleep(ctx, pause):
		default:
			pause = min(2*pause, lastPause)
		}
	}
	if until == nil {
		return nil
	}
	return context.Cause(ctx)
}

// exhaust gives all pieces that the segment has now.
func (r *reader) exhaust(yield func(piece) bool) (moved, wanted bool, err error) {
	for {
		p, ok, err := r.at.step()
		if err != nil || !ok {
			return moved, true, err
		}
		if moved = true; !yield(p) {
			return true, false, nil
		}
	}
}

// advance goes to segment n or, if the writer has removed it, the first one after it; more is false if there is none.
func (r *reader) advance(n uint64, until *end) (more bool, err error) {
	for {
		c, err := openCursor(r.fd, n)
		if errors.Is(err, fs.ErrNotExist) {
			if n, err = r.next(n + 1); n == 0 || err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
		if r.at != nil {
			r.at.close()
		}
		r.at = c
		if until != nil && n == until.segment {
			c.limit = until.offset
		}
		return true, nil
	}
}

// next gives the first segment from number n on; 0 if there is none.
func (r *reader) next(n uint64) (uint64, error) {
	ns, err := segments(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if i, _ := slices.BinarySearch(ns, n); i < len(ns) {
		return ns[i], err
	}
	return 0, err
}

// sleep waits; false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
