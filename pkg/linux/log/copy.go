package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Copy writes the output of one run, byte for byte, from its beginning to its end: each stream to its writer, which may be nil. It returns at the
// end of the run, or once ended is closed and all that is there by then is written, or with the error of ctx, a file or a writer. What the
// bounds of the log have removed meanwhile is missing.
func Copy(ctx context.Context, dir string, run Run, ended <-chan struct{}, stdout, stderr io.Writer) error {
	r := &reader{dir: dir, Options: Options{Follow: true}}
	defer r.close()
	c := &copier{run: run, to: map[Stream]io.Writer{Stdout: stdout, Stderr: stderr}}
	if err := r.copy(ctx, c, ended); err != nil {
		return fmt.Errorf("cannot copy log: %w", err)
	}
	return nil
}

// copier takes the pieces of one run.
type copier struct {
	run  Run
	to   map[Stream]io.Writer
	over bool // the run has ended
	err  error
}

// take writes a piece and tells whether more is wanted.
func (c *copier) take(p piece) bool {
	switch {
	case p.run != c.run:
		c.over = p.kind == kindBegin && p.run.Instance == c.run.Instance && p.run.Start > c.run.Start
	case p.kind == kindEnd:
		c.over = true
	case p.kind.bytes() && c.to[Stream(p.kind)] != nil:
		_, c.err = c.to[Stream(p.kind)].Write(p.data)
	}
	return !c.over && c.err == nil
}

// copy gives a copier all pieces from the segment on in which its run begins.
func (r *reader) copy(ctx context.Context, c *copier, ended <-chan struct{}) error {
	// The follower stops looking for more at the end of both; what is there then is read without waiting.
	following, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() {
		select {
		case <-ended:
			stop()
		case <-following.Done():
		}
	})
	ns, err := r.list(following)
	if err == nil && len(ns) == 0 { // none came
		ns, err = r.now()
	}
	if err != nil || len(ns) == 0 {
		return errors.Join(err, context.Cause(ctx))
	}
	from, err := r.begin(ns, c.run)
	if err != nil {
		return err
	}
	if err := r.pieces(following, from, nil, c.take); err != nil {
		return err
	}
	if err := context.Cause(ctx); c.over || c.err != nil || err != nil {
		return errors.Join(c.err, err)
	}
	return errors.Join(r.rest(from, c.take), c.err)
}

// now lists the segments without waiting for one.
func (r *reader) now() ([]uint64, error) {
	r.Follow = false
	return r.list(context.Background())
}

// begin is the newest segment that has the beginning of a run, or the oldest of all if that is gone.
func (r *reader) begin(ns []uint64, run Run) (from uint64, err error) {
	for _, n := range slices.Backward(ns) {
		found := false
		err := r.entries([]uint64{n}, func(e entry) bool {
			found = e.kind == kindBegin && e.run == run
			return !found
		})
		if found || err != nil {
			return n, err
		}
	}
	return ns[0], nil
}

// rest gives the pieces that are there and have not been given yet.
func (r *reader) rest(from uint64, yield func(piece) bool) error {
	if r.at == nil { // it was never looked at
		if more, err := r.advance(from, nil); !more || err != nil {
			return err
		}
	}
	for {
		next, err := r.next(r.at.n + 1)
		if err != nil {
			return err
		}
		if _, wanted, err := r.exhaust(yield); err != nil || !wanted || next == 0 {
			return err
		}
		if more, err := r.advance(next, nil); !more || err != nil {
			return err
		}
	}
}
