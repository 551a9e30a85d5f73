package log

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound a log: together its files never hold more than MaxSize times MaxFiles bytes.
type Limits struct {
	MaxSize  int64 // bytes of a segment, its index included. Default 10 MiB, at least 4 KiB, below 4 GiB
	MaxFiles int   // segments kept, the one being written included. Default 5
}

// Bounds of Limits.
const (
	defaultSize  = 10 << 20
	defaultFiles = 5
	minSize      = 4 << 10
)

// orDefault fills in what is not said and what is out of bounds.
func (l Limits) orDefault() Limits {
	if l.MaxSize <= 0 {
		l.MaxSize = defaultSize
	}
	if l.MaxFiles <= 0 {
		l.MaxFiles = defaultFiles
	}
	l.MaxSize = min(max(l.MaxSize, minSize), math.MaxUint32)
	return l
}

// sameTime is how far apart two chunks of a stream may be to share an entry: one-byte writes cannot fill the index.
const sameTime = time.Millisecond

// Writer appends to a log. A log has one writer at a time; its methods may be called from many goroutines.
type Writer struct {
	mu       sync.Mutex
	dir      *os.File
	limits   Limits
	segments []uint64 // what is kept, the last one being written
	raw, idx *os.File
	rawSize  int64
	idxSize  int64
	last     entry // the entry new bytes may join; zero if none
	dropped  atomic.Int64
	unsaid   entry // drops that the index does not tell of yet, if its count is not zero
	failing  bool
}

// OpenWriter opens the log in dir, made if missing, and goes on where its last writer stopped.
func OpenWriter(dir string, limits Limits) (*Writer, error) {
	d, err := makeDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open log: %w", err)
	}
	w := &Writer{dir: d, limits: limits.orDefault()}
	if w.segments, err = segments(dir); err == nil && len(w.segments) > 0 {
		err = w.open(w.segments[len(w.segments)-1])
	} else if err == nil {
		err = w.next()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open log: %w", err), w.Close())
	}
	return w, nil
}

// open makes segment n the one being written, at its end; a torn entry at the end of the index is overwritten.
func (w *Writer) open(n uint64) error {
	idx, idxSize, err := openFile(w.dir, fileName(n, indexSuffix), unix.O_WRONLY|unix.O_CREAT)
	if err != nil {
		return err
	}
	raw, rawSize, err := openFile(w.dir, fileName(n, rawSuffix), unix.O_WRONLY|unix.O_CREAT)
	if err != nil {
		idx.Close()
		return err
	}
	w.closeSegment()
	w.raw, w.rawSize = raw, rawSize
	w.idx, w.idxSize = idx, idxSize-idxSize%entrySize
	w.last = entry{}
	return nil
}

// makeDir opens a directory, made if missing.
func makeDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return openDir(dir)
}

// next begins a new segment and drops the oldest beyond the limit. While it is empty it may be one too many. A directory
// that somebody has removed is made again.
func (w *Writer) next() error {
	n := uint64(1)
	if k := len(w.segments); k > 0 {
		n = w.segments[k-1] + 1
	}
	err := w.open(n)
	if errors.Is(err, unix.ENOENT) {
		d, failed := makeDir(w.dir.Name())
		if failed != nil {
			return failed
		}
		w.dir.Close()
		w.dir = d
		err = w.open(n)
	}
	if err != nil {
		return err
	}
	w.segments = append(w.segments, n)
	return w.prune()
}

// prune removes the oldest segments beyond the limit.
func (w *Writer) prune() error {
	for len(w.segments) > w.limits.MaxFiles {
		for _, suffix := range []string{rawSuffix, indexSuffix} {
			err := unix.Unlinkat(int(w.dir.Fd()), fileName(w.segments[0], suffix), 0)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("cannot remove old segment: %w", err)
			}
		}
		w.segments = w.segments[1:]
	}
	return nil
}

// SetLimits changes the limits. A segment or file too many goes with the next write beyond them.
func (w *Writer) SetLimits(limits Limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limits = limits.orDefault()
}

// Begin notes the beginning of a run, End its end. A note that cannot be written is left out: only the lines'
// attribution to runs suffers.
func (w *Writer) Begin(run Run) { w.note(kindBegin, run) }

// End notes the end of a run; see Begin.
func (w *Writer) End(run Run) { w.note(kindEnd, run) }

func (w *Writer) note(k kind, run Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.makeRoom() == nil {
		w.index(entry{kind: k, run: run, offset: w.rawSize, time: time.Now()})
	}
}

// Dropped counts the bytes this writer could not write.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close lets go of the files. The log is complete at every moment, so nothing is flushed.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeSegment()
	return w.dir.Close()
}

// closeSegment closes the segment being written, if one is.
func (w *Writer) closeSegment() {
	if w.raw != nil {
		w.raw.Close()
		w.idx.Close()
		w.raw, w.idx = nil, nil
	}
}
