package log

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Place is a byte of a log.
type Place struct {
	Segment uint64 `json:"segment"` // counted from 1; 0 is before all
	Offset  int64  `json:"offset"`  // in the segment's raw file
}

// Before tells whether a place is in front of another.
func (p Place) Before(q Place) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// Follower reads a log from a place on as it grows, without waiting for it: for who follows many. Unlike a reader it knows where a successor goes on.
type Follower struct {
	r     reader
	lines lines
	from  Place
	// Remove has it remove the segments that it has passed.
	Remove bool
}

// NewFollower follows the log in dir, which need not exist yet.
func NewFollower(dir string, from Place) *Follower {
	return &Follower{r: reader{dir: dir}, from: from}
}

// Close lets go of the files.
func (f *Follower) Close() { f.r.close() }

// Grown tells whether there may be something to read. It is cheap, and false most of the time.
func (f *Follower) Grown() bool {
	c := f.r.at
	if c == nil {
		return true
	}
	var raw, name unix.Stat_t
	if unix.Fstat(int(c.raw.Fd()), &raw) != nil || raw.Size > c.pos || raw.Nlink == 0 {
		return true
	}
	return unix.Fstatat(int(f.r.fd.Fd()), fileName(c.n+1, rawSuffix), &name, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// maxBehind is how far behind what was read the beginning of a line may be that has not ended; then it is given as it is, as a successor
// would read again what came since.
const maxBehind = 256 << 10

// Read gives the lines that are there now and have not been given. After yield has returned false only those come that were read in one piece, 32 KiB at
// most; the next Read goes on behind it. Lost is about how many bytes were removed before they could be read. Once last is true, what has not ended as a line is given as it is.
func (f *Follower) Read(last bool, yield func(Line) bool) (lost int64, err error) {
	enough := false
	f.lines.yield = func(l Line) bool {
		enough = !yield(l) || enough
		return true
	}
	if f.r.at == nil {
		if lost, err = f.begin(); f.r.at == nil || err != nil {
			return 0, err
		}
	}
	for {
		next, err := f.r.next(f.r.at.n + 1)
		if err != nil {
			return lost, err
		}
		_, wanted, err := f.r.exhaust(func(p piece) bool {
			f.lines.add(p)
			f.giveUp()
			return !enough
		})
		if err != nil || !wanted || next == 0 {
			if wanted && last {
				f.lines.flush(func(Run) bool { return true })
			}
			return lost, err
		}
		size := f.r.at.pos
		before := f.r.at.n
		if more, err := f.r.advance(next, nil); !more || err != nil {
			return lost, err
		}
		lost += int64(f.r.at.n-before-1) * size
		if f.Remove {
			f.remove(f.r.at.n)
		}
	}
}

// giveUp gives the lines under way that are too far behind.
func (f *Follower) giveUp() {
	at := Place{f.r.at.n, f.r.at.pos - maxBehind}
	for len(f.lines.open) > 0 && f.lines.open[0].At.Before(at) {
		f.lines.flushOne(0)
	}
}

// begin opens the segment of the place, or the first one behind it, if there is one; see Read for lost.
func (f *Follower) begin() (lost int64, err error) {
	if f.r.fd == nil {
		if f.r.fd, err = openDir(f.r.dir); errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
	}
	n, err := f.r.next(f.from.Segment)
	if n == 0 && err == nil { // it is another log than that of the place
		n, err = f.r.next(0)
		f.from = Place{}
	}
	if n == 0 || err != nil {
		return 0, err
	}
	if more, err := f.r.advance(n, nil); !more || err != nil {
		return 0, err
	}
	if f.r.at.n == f.from.Segment {
		return 0, f.r.at.seek(f.from.Offset)
	}
	if f.from.Segment == 0 {
		return 0, nil
	}
	info, err := f.r.at.raw.Stat()
	if err != nil {
		return 0, err
	}
	return max(int64(f.r.at.n-f.from.Segment)*info.Size()-f.from.Offset, 0), nil
}

// remove removes the segments before n. The writer does not mind; see Writer.prune.
func (f *Follower) remove(n uint64) {
	ns, _ := segments(f.r.dir)
	for _, old := range ns {
		if old >= n {
			return
		}
		for _, suffix := range []string{rawSuffix, indexSuffix} {
			_ = unix.Unlinkat(int(f.r.fd.Fd()), fileName(old, suffix), 0) // the writer's bounds will
		}
	}
}

// Place is where a successor goes on: no line that was not given whole is before it, and some after it may have been given.
func (f *Follower) Place() Place {
	if f.r.at == nil {
		return f.from
	}
	at := Place{f.r.at.n, f.r.at.pos}
	for _, line := range f.lines.open {
		if line.At.Before(at) {
			at = line.At
		}
	}
	return at
}

// Since is where in the log in dir the first bytes are that were read then or later, and its end if there are none; the zero Place of a log that does not exist.
func Since(dir string, from time.Time) (at Place, err error) {
	ns, err := segments(dir)
	if len(ns) == 0 || err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return Place{}, err
	}
	r := &reader{dir: dir, Options: Options{Since: from}}
	defer r.close()
	if r.fd, err = openDir(dir); err != nil {
		return Place{}, err
	}
	last, err := r.size(ns[len(ns)-1])
	if err != nil {
		return Place{}, err
	}
	if ns, err = r.since(ns); err != nil {
		return Place{}, err
	}
	at = Place{last.segment, last.offset}
	err = r.pieces(context.Background(), ns[0], &last, func(p piece) bool {
		if p.time.Before(from) {
			return true
		}
		at = p.at
		return false
	})
	return at, err
}
