package reconcile

import (
	"context"
	"sync"
)

// journal keeps the newest entries of a sequence, numbered from 1, for readers who each go on from a number of their own.
type journal[T any] struct {
	mu    sync.Mutex
	ring  []T // grows up to size
	size  int
	last  uint64        // number of the newest entry
	grown chan struct{} // closed and replaced with each entry
}

func newJournal[T any](size int) *journal[T] {
	return &journal[T]{size: size, grown: make(chan struct{})}
}

// Append adds what entry makes of its number.
func (j *journal[T]) Append(entry func(id uint64) T) T {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e := entry(j.last)
	if at := int(j.last-1) % j.size; at < len(j.ring) {
		j.ring[at] = e
	} else {
		j.ring = append(j.ring, e)
	}
	close(j.grown)
	j.grown = make(chan struct{})
	return e
}

// Last is the number of the newest entry.
func (j *journal[T]) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Oldest is the number after which all entries are kept.
func (j *journal[T]) Oldest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last - min(j.last, uint64(j.size))
}

// After is the entry that follows number id, or a channel that closes when there may be one. ErrExpired tells that it is forgotten, or
// that id was never given out.
func (j *journal[T]) After(id uint64) (entry T, grown <-chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case id > j.last || id+uint64(j.size) < j.last:
		return entry, nil, ErrExpired
	case id == j.last:
		return entry, j.grown, nil
	}
	return j.ring[int(id)%j.size], nil, nil
}

// follow sends what show makes of the entries after number id, those that it wants shown, until ctx ends or the reader is so slow that entries are forgotten
// before it took them. Then it closes the channel.
func follow[T, U any](ctx context.Context, j *journal[T], id uint64, show func(T) (U, bool)) <-chan U {
	out := make(chan U)
	go func() {
		defer close(out)
		for {
			entry, grown, err := j.After(id)
			switch {
			case err != nil:
				return
			case grown != nil:
				select {
				case <-grown:
				case <-ctx.Done():
					return
				}
				continue
			}
			id++
			shown, wanted := show(entry)
			if !wanted {
				continue
			}
			select {
			case out <- shown:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
