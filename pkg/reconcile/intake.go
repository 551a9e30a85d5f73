package reconcile

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// share bounds what looking without a hint may cost: one part of so many of the time.
const share = 200

// rereadEvery is how often unchanged files are read again in case their times lie.
const rereadEvery = 5 * time.Minute

// scanAll follows every source; the channel closes when each was read once.
func (a *Agent) scanAll(ctx context.Context, work *sync.WaitGroup) <-chan struct{} {
	var first sync.WaitGroup
	for i := range a.Config.Sources {
		first.Add(1)
		work.Go(func() { a.followSource(ctx, i, sync.OnceFunc(first.Done)) })
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		first.Wait()
	}()
	return read
}

// followSource scans a source again and again: on a hint, soon when something has to settle, and else every so often.
func (a *Agent) followSource(ctx context.Context, i int, scanned func()) {
	defer scanned()
	source := a.Config.Sources[i]
	hints := source.Hints(ctx)
	reread := time.Now().Add(rereadEvery)
	var asked chan struct{}
	for all := false; ctx.Err() == nil; {
		began := time.Now()
		snapshot := source.Scan(ctx, all)
		if ctx.Err() != nil {
			return
		}
		if all {
			reread = time.Now().Add(rereadEvery)
		}
		unsettled := a.takeIn(i, snapshot)
		scanned()
		if asked != nil {
			close(asked)
			asked = nil
		}
		took := time.Since(began)
		pause := max(a.Rescan, share*took)
		if unsettled {
			pause = Settle + took
		}
		timer := time.NewTimer(pause)
		select {
		case <-hints:
		case <-timer.C:
		case asked = <-a.again[i]:
		case <-ctx.Done():
		}
		timer.Stop()
		all = asked != nil || time.Now().After(reread)
	}
}

// takeIn admits a snapshot. It tells whether another is needed soon.
func (a *Agent) takeIn(i int, s Snapshot) (unsettled bool) {
	a.intake.Lock()
	defer a.intake.Unlock()
	before := a.sources[i]
	a.sources[i] = s
	a.mu.Lock()
	missing := len(a.admission.Missing) + len(a.configs.Missing)
	if s.OK() {
		a.read[s.Source] = s.ReadAt
	}
	a.mu.Unlock()
	if missing == 0 && before.same(s) {
		return s.Unsettled
	}
	a.tellSource(before, s)
	return a.admit() || s.Unsettled
}

// admit decides anew what is in force and hands out the names for which that changed. The caller holds intake.
func (a *Agent) admit() (unsettled bool) {
	users := a.admitConfigs()
	a.mu.Lock()
	request := Request{
		Snapshots: a.sources, Incumbents: a.admission.Desired, Missing: a.admission.Missing, Prune: a.Prune, Confirmed: a.confirmed,
	}
	a.mu.Unlock()
	admission := Admit(request)
	a.tellAdmission(admission)
	a.mu.Lock()
	before := a.admission
	a.admission = admission
	maps.DeleteFunc(a.confirmed, func(_ string, c Confirmation) bool { return c.done(admission) })
	var changed []string
	for id, d := range admission.Desired {
		if before.Desired[id] != d {
			n := a.entry(id)
			n.desired, n.removed = d, false
			changed = append(changed, id)
			changed = append(changed, a.left(n, d.Container)...)
			a.file(n, d.Container)
		}
	}
	for _, id := range admission.Removed {
		n := a.entry(id)
		n.desired, n.removed = nil, true
		changed = append(changed, id)
	}
	a.mu.Unlock()
	slices.Sort(changed)
	for _, id := range append(changed, users...) {
		a.queue.Add(id)
	}
	a.progressed()
	a.mu.Lock()
	defer a.mu.Unlock()
	return admission.settling() || len(a.configs.Missing) > 0
}

// settling tells whether a removal waits for a second look.
func (a Admission) settling() bool {
	blocked := 0
	for source, names := range a.Blocked {
		if _, unclaimed := a.Unclaimed[source]; !unclaimed {
			blocked += len(names)
		}
	}
	return len(a.Missing) > blocked
}

// settlingIn tells whether a removal in one source waits for a second look.
func (a Admission) settlingIn(source string) bool {
	for name := range a.Missing {
		if d := a.Desired[name]; d != nil && d.Origin.Source == source && d.Accepted.Reason == ReasonRemoving {
			return true
		}
	}
	return false
}

// Sources are the sources as they were last read, and the names of sources that this agent does not have.
func (a *Agent) Sources() []SourceStatus {
	a.intake.Lock()
	snapshots := slices.Clone(a.sources)
	a.intake.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := map[string]int{}
	for _, d := range a.admission.Desired {
		counts[d.Origin.Source]++
	}
	var list []SourceStatus
	for _, s := range snapshots {
		status := SourceStatus{
			Name: s.Source, Path: s.Source, Revision: cmp.Or(s.Revision, s.Hash), Hash: s.Hash, OK: s.OK(), ReadAt: s.ReadAt,
			Unsettled: s.Unsettled || a.admission.settlingIn(s.Source),
			Objects:   counts[s.Source], Blocked: a.admission.Blocked[s.Source], Problems: a.problemsOf(&s),
		}
		list = append(list, status)
	}
	for source, hash := range a.admission.Unclaimed {
		blocked := a.admission.Blocked[source]
		list = append(list, SourceStatus{
			Name: source, Path: source, Revision: hash, Hash: hash, Objects: len(blocked), Blocked: blocked,
			Problems: []string{"no source of this agent has what is held back"},
		})
	}
	return list
}

// problemsOf are the errors of a source, of its files and of the names in them. The caller holds mu.
func (a *Agent) problemsOf(s *Snapshot) (list []string) {
	if !s.OK() {
		list = append(list, unavailable(s))
	}
	for _, p := range a.problemsIn(s) {
		list = append(list, p.Error())
	}
	return list
}

// ConfirmPrune lets the removals go on that are held back now, if the contents of the source still have that hash. Later ones need a confirmation of
// their own. fs.ErrNotExist when there is no such source, fs.ErrInvalid when its hash is another by now.
func (a *Agent) ConfirmPrune(_ context.Context, source, hash string) error {
	var known []string
	for _, s := range a.Sources() {
		known = append(known, s.Name)
		switch {
		case s.Name != source:
			continue
		case s.Hash != hash || hash == "":
			return refuse(fs.ErrInvalid, "cannot confirm %s@%s: its hash is %s by now\nhint: look again at what is held back: reconciler prune", source, hash, s.Hash)
		}
		a.intake.Lock()
		defer a.intake.Unlock()
		a.mu.Lock()
		a.confirmed[source] = Confirmation{hash, s.Blocked}
		a.mu.Unlock()
		a.tell(Event{Reason: "PruneConfirmed", Message: source + "@" + hash})
		a.admit()
		return nil
	}
	return refuse(fs.ErrNotExist, "unknown source %q\nhint: the sources are %s", source, strings.Join(known, ", "))
}
