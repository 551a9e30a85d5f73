package probe

import (
	"container/heap"
	"hash/fnv"
	"time"
)

// turn is one question to be asked of a target at a time.
type turn struct {
	place
	of  *target
	due time.Time
}

// dead tells that another target has taken the place of its own.
func (t *turn) dead() bool { return t.of.ctx.Err() != nil }

// timetable is a heap of turns, see container/heap: the first is due first. Those that are dead stay in it until they are due or too many.
type timetable []*turn

func (t timetable) Len() int           { return len(t) }
func (t timetable) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timetable) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is for container/heap.
func (t *timetable) Push(x any) { *t = append(*t, x.(*turn)) }

// Pop is for container/heap.
func (t *timetable) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	return x
}

// add adds a turn. When most are dead it throws those away, so that somebody who changes his mind often costs no memory.
func (t *timetable) add(next *turn, living int) {
	if len(*t) > 2*living+64 {
		kept := (*t)[:0]
		for _, turn := range *t {
			if !turn.dead() {
				kept = append(kept, turn)
			}
		}
		clear((*t)[len(kept):])
		*t = kept
		heap.Init(t)
	}
	heap.Push(t, next)
}

// spread is a share of a length of time, from none to all of it, that is always the same for a place: what begins at one moment is not asked at one.
func (p place) spread(over time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.name))
	_, _ = h.Write([]byte{byte(p.kind)})
	const parts = 1 << 20
	return time.Duration(float64(over) / parts * float64(mixed(h.Sum64())%parts))
}

// mixed makes the last bits of a hash as good as the first: names that differ in their last letter alone are near each other in FNV.
func mixed(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}
