package probe

import (
	"container/heap"
	"context"
	"net"
	"sync"
	"time"
)

// firstSpread is the part of its period within which a new run is asked first: soon, since somebody waits for it, and yet not all at one moment. A run
// of which something is known already is asked within its whole period.
const firstSpread = 10

// plan has a target's probes asked when they are due next.
func (p *Prober) plan(name string, t *target, now time.Time) {
	if t.Suspended {
		return
	}
	for k := range Kind(kinds) {
		if !t.state.Asks(k) {
			continue
		}
		at := place{name, k}
		if t.next[k].IsZero() {
			t.next[k] = first(at, t, now)
		}
		p.schedule(&turn{place: at, of: t, due: t.next[k]})
	}
}

// first is when a probe is asked first. The wall clock, by which runs are known to have begun, may be set at any time: no wait is longer than the delay.
func first(at place, t *target, now time.Time) time.Time {
	probe := at.kind.of(t.Probes).Defaulted()
	period, delay := time.Duration(probe.Period), time.Duration(probe.InitialDelay)
	if t.Health == (Health{}) {
		period /= firstSpread
	}
	left := t.StartedAt.Add(delay).Sub(now)
	return now.Add(min(max(left, 0), delay) + at.spread(period))
}

// schedule adds a turn to the timetable.
func (p *Prober) schedule(t *turn) {
	p.table.add(t, kinds*len(p.targets))
	if p.table[0] == t {
		p.rouse()
	}
}

// rouse has Run look again.
func (p *Prober) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run asks until ctx ends, and returns when everything that it has begun has ended. It runs once.
func (p *Prober) Run(ctx context.Context) {
	var questions sync.WaitGroup
	defer questions.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wait, any := p.begin(ctx, &questions); any {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
			return
		}
	}
}

// begin asks what is due, as far as there is room, and tells how long it is until the next is due.
func (p *Prober) begin(ctx context.Context, questions *sync.WaitGroup) (wait time.Duration, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for len(p.table) > 0 && !p.table[0].due.After(now) {
		p.waiting = append(p.waiting, heap.Pop(&p.table).(*turn))
	}
	for len(p.waiting) > 0 && len(p.asking) < p.cfg.Limit && ctx.Err() == nil {
		t := p.waiting[0]
		p.waiting[0], p.waiting = nil, p.waiting[1:]
		switch {
		case t.dead():
		case p.asking[t.place]: // an earlier run's question has not ended yet
			p.late[t.place] = t
		default:
			p.asking[t.place] = true
			t.of.next[t.kind] = now.Add(time.Duration(t.kind.of(t.of.Probes).Defaulted().Period))
			questions.Go(func() { p.ask(ctx, t) })
		}
	}
	if len(p.table) == 0 {
		return 0, false
	}
	return p.table[0].due.Sub(now), true
}

// ask asks a question and notes what comes of it.
func (p *Prober) ask(ctx context.Context, t *turn) {
	during, cancel := context.WithCancel(t.of.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	name, instance := t.name, t.of.Instance
	err := Check(during, *t.kind.of(t.of.Probes), Means{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return p.cfg.Dial(ctx, name, instance, network, address)
		},
		Exec: func(ctx context.Context, command []string) (int, []byte, error) {
			return p.cfg.Exec(ctx, name, instance, command)
		},
	})
	if p.note(t, err, during.Err() != nil) && p.cfg.Changed != nil {
		p.cfg.Changed(name)
	}
}

// note takes a result, unless it was dropped, and plans what is due next. It tells whether Health has changed.
func (p *Prober) note(t *turn, err error, dropped bool) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 { // there is room for another
		p.rouse()
	}
	delete(p.asking, t.place)
	if late := p.late[t.place]; late != nil {
		delete(p.late, t.place)
		p.schedule(late)
	}
	if dropped || t.dead() {
		return false
	}
	now := time.Now()
	if !saysNothing(err) {
		changed = t.of.state.Feed(t.kind, Result{Err: err, Time: stamp(now)})
	}
	if t.kind == Startup && t.of.state.Health().Started {
		p.plan(t.name, t.of, now)
	} else {
		p.schedule(&turn{place: t.place, of: t.of, due: t.of.next[t.kind]})
	}
	return changed
}
