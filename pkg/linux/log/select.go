package log

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
)

// findPrevious finds the run before the latest one; none if there was only one.
func (r *reader) findPrevious(ns []uint64) error {
	var latest, previous *Run
	err := r.entries(ns, func(e entry) bool {
		if latest == nil || e.run != *latest && (previous == nil || e.run != *previous) {
			previous, latest = latest, &e.run
		}
		return true
	})
	r.only = previous
	return err
}

// since leaves out the segments that end before Since, because a later one begins before it.
func (r *reader) since(ns []uint64) ([]uint64, error) {
	if r.Since.IsZero() {
		return ns, nil
	}
	for i := len(ns) - 1; i > 0; i-- {
		var first entry
		err := r.entries(ns[i:i+1], func(e entry) bool {
			first = e
			return !e.kind.bytes()
		})
		if err != nil {
			return nil, err
		}
		if first.kind.bytes() && first.time.Before(r.Since) {
			return ns[i:], nil
		}
	}
	return ns, nil
}

// tail finds where to begin for the last lines: a segment, and how many lines to skip from there.
func (r *reader) tail(ctx context.Context, ns []uint64, until end) (from uint64, skip int, err error) {
	if r.Tail <= 0 {
		return ns[0], 0, nil
	}
	i := len(ns) - 1
	for newlines := 0; ; i-- {
		n, err := r.newlines(ctx, ns[i], until)
		if err != nil {
			return 0, 0, err
		}
		if newlines += n; newlines > r.Tail || i == 0 {
			break
		}
	}
	total := 0
	err = r.walk(ctx, ns[i], &until, func(Line) bool {
		total++
		return true
	})
	return ns[i], max(total-r.Tail, 0), err
}

// newlines counts those of the selected pieces of a segment.
func (r *reader) newlines(ctx context.Context, n uint64, until end) (count int, err error) {
	bound := end{segment: n, offset: maxOffset}
	if n == until.segment {
		bound = until
	}
	err = r.pieces(ctx, n, &bound, func(p piece) bool {
		if r.selects(p) {
			count += bytes.Count(p.data, []byte{'\n'})
		}
		return true
	})
	return count, err
}

// entries gives the index entries of some segments until visit returns false.
func (r *reader) entries(ns []uint64, visit func(entry) bool) error {
	for _, n := range ns {
		c, err := openCursor(r.fd, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = c.visit(visit)
		c.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// visit gives the index entries of the segment until f returns false.
func (c *cursor) visit(f func(entry) bool) error {
	for {
		e, ok, err := c.peek()
		if err != nil || !ok || !f(e) {
			return err
		}
		c.take()
	}
}
