package log

import (
	"context"
	"errors"
	"io/fs"
	"maps"
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
	// Passed, if there is one, is called between the last line of a segment and the first one of the next.
	Passed func()

	anew   bool             // the directory was made again: no segment of it was read
	oldest uint64           // segment that is there
	starts map[uint64]int64 // where segments begin, from that of the oldest line under way on: bytes since the first one read
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
// would read again what came since. So is one whose beginning is not there any more.
const maxBehind = 256 << 10

// Read gives the lines that are there now and have not been given. After yield has returned false only those come that were read in one piece, 32 KiB at
// most; the next Read goes on behind it. Where bytes were removed before they could be read, a line says so. Once last is true, what has not ended as a line is given as it is.
func (f *Follower) Read(last bool, yield func(Line) bool) error {
	enough := false
	f.lines.yield = func(l Line) bool {
		enough = !yield(l) || enough
		return true
	}
	if f.r.at == nil {
		if err := f.begin(); f.r.at == nil || err != nil {
			return err
		}
	}
	for {
		next, err := f.next()
		if err != nil {
			return err
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
			return err
		}
		size, before := f.r.at.pos, f.r.at.n
		if more, err := f.open(next); !more || err != nil {
			return err
		}
		if f.r.at.n > before+1 {
			f.tell(Place{before, size}, int64(f.r.at.n-before-1)*size)
		}
		if f.Passed != nil {
			f.Passed()
		}
	}
}

// next gives the segment behind that of the cursor, 0 if there is none. A directory that was removed and made again is another one.
func (f *Follower) next() (uint64, error) {
	if f.Gone() {
		d, err := openDir(f.r.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
		f.r.fd.Close()
		f.r.fd, f.anew = d, true
	}
	if f.anew {
		return f.r.next(0)
	}
	return f.r.next(f.r.at.n + 1)
}

// Gone tells whether the directory was removed: what is there by its name is another log.
func (f *Follower) Gone() bool {
	var st unix.Stat_t
	return f.anew || f.r.fd != nil && unix.Fstat(int(f.r.fd.Fd()), &st) == nil && st.Nlink == 0
}

// open goes to segment n or the first one after it, if there is one.
func (f *Follower) open(n uint64) (more bool, err error) {
	start := int64(0)
	if f.r.at != nil {
		start = f.starts[f.r.at.n] + f.r.at.pos
	}
	if more, err = f.r.advance(n, nil); !more || err != nil {
		return false, err
	}
	if f.anew || f.starts == nil {
		f.lines.flush(func(Run) bool { return true })
		f.anew, f.starts = false, map[uint64]int64{}
	}
	f.starts[f.r.at.n] = start
	first := f.Place().Segment
	maps.DeleteFunc(f.starts, func(n uint64, _ int64) bool { return n < first })
	f.oldest, err = f.r.next(0)
	return true, err
}

// tell gives a note that so many bytes are missing from a place to the cursor, and what has not ended before them. Who goes on at the note finds it again.
func (f *Follower) tell(from Place, lost int64) {
	f.lines.flush(func(Run) bool { return true })
	note := Line{Stream: Stdout, Dropped: lost, Removed: true, At: from}
	if e, ok, err := f.r.at.peek(); ok && err == nil {
		note.Time, note.Run = e.time, e.run
	}
	f.lines.give(note)
}

// giveUp gives the lines under way that are too far behind.
func (f *Follower) giveUp() {
	now := f.starts[f.r.at.n] + f.r.at.pos
	for i := 0; i < len(f.lines.open); {
		if at := f.lines.open[i].At; at.Segment < f.oldest || now-f.starts[at.Segment]-at.Offset > maxBehind {
			f.lines.flushOne(i)
		} else {
			i++
		}
	}
}

// begin opens the segment of the place, or the first one behind it, if there is one.
func (f *Follower) begin() (err error) {
	if f.r.fd == nil {
		if f.r.fd, err = openDir(f.r.dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
	n, err := f.r.next(f.from.Segment)
	if n == 0 && err == nil { // it is another log than that of the place
		if n, err = f.r.next(0); n != 0 {
			f.from = Place{}
		}
	}
	if n == 0 || err != nil {
		return err
	}
	if more, err := f.open(n); !more || err != nil {
		return err
	}
	if f.r.at.n == f.from.Segment {
		return f.r.at.seek(f.from.Offset)
	}
	if f.from.Segment == 0 {
		return nil
	}
	ns, err := segments(f.r.dir)
	if err != nil {
		return err
	}
	size := f.from.Offset // of a segment that is gone, as far as anybody knows
	for _, n := range ns {
		if e, err := f.r.size(n); err == nil {
			size = max(size, e.offset)
		}
	}
	f.tell(f.from, max(int64(f.r.at.n-f.from.Segment)*size-f.from.Offset, 1))
	return nil
}

// Remove removes the segments before one. The writer does not mind; see Writer.prune.
func (f *Follower) Remove(before uint64) {
	ns, _ := segments(f.r.dir)
	for _, old := range ns {
		if old >= before || f.r.fd == nil {
			return
		}
		for _, suffix := range []string{rawSuffix, indexSuffix} {
			_ = unix.Unlinkat(int(f.r.fd.Fd()), fileName(old, suffix), 0) // the writer's bounds will
		}
	}
}

// Left is how many bytes are there that were not given.
func (f *Follower) Left() (bytes int64) {
	if f.r.fd == nil {
		return 0
	}
	at := f.Place()
	var raw unix.Stat_t
	if c := f.r.at; c != nil && unix.Fstat(int(c.raw.Fd()), &raw) == nil { // it may have no name any more
		bytes = raw.Size - c.pos
		at = Place{c.n + 1, 0}
	}
	for _, line := range f.lines.open {
		bytes += int64(len(line.Text))
	}
	ns, _ := segments(f.r.dir)
	for _, n := range ns {
		if e, err := f.r.size(n); err == nil && n >= at.Segment {
			bytes += e.offset
		}
	}
	return bytes
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
