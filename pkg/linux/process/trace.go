package process

import "time"

// Trace is what the ops of one start did.
type Trace struct {
	Results []int64         // of each op: what the kernel returned, -errno for an error, or NotRun
	Times   []time.Duration // of each op: how long it took, 0 if it was not run
	Clone   time.Duration   // from before clone3 to the child's first instruction
	Exec    time.Duration   // from the last op that returned until the starter went on: the execve, or the exit
}

// NotRun is the result of an op that was skipped or not reached, and of the execve that succeeded, for it does not return.
const NotRun = notRun

// trace collects what the child left; nil unless it was to be traced. Elapsed is the time between the parent's two stamps,
// which gives the unit of all of them.
func (a *assembly) trace(elapsed time.Duration) *Trace {
	if len(a.stamps) == 0 {
		return nil
	}
	begin, end, last := a.stamps[0], a.stamps[1], a.stamps[parentStamps]
	unit := float64(elapsed) / float64(max(end-begin, 1))
	since := func(from, to uint64) time.Duration { return time.Duration(float64(to-from) * unit) }

	t := &Trace{Results: make([]int64, len(a.own)), Times: make([]time.Duration, len(a.own))}
	t.Clone = since(begin, last)
	child := a.stamps[parentStamps+1:]
	for i := range a.records {
		if a.records[i].result == notRun {
			continue
		}
		t.Times[a.origins[i]] += since(last, child[0])
		last, child = child[0], child[1:]
	}
	for i := range t.Results {
		t.Results[i] = a.result(i)
	}
	t.Exec = since(last, end)
	return t
}
