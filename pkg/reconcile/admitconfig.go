package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ConfigInForce is a config that is in force, immutable: what its manifest says, or the last good one did.
type ConfigInForce struct {
	Name     string
	Contents spec.Contents
	Origin   Origin
	Accepted Acceptance

	document *spec.Document // what it was read from
	uses     *projections
}

// Configs are which configs are in force. They are in memory alone: a new agent reads them again, and what an instance was given it has.
type Configs struct {
	ByName map[string]*ConfigInForce
	// Problems are names that are claimed twice, by source.
	Problems map[string]spec.Problems
	// Broken says of names of which no config is in force what is wrong with the manifest that claims them.
	Broken map[string]string
	// Missing says since which scan a name is missing in its source.
	Missing map[string]time.Time
}

// AdmitConfigs decides which configs are in force from the newest snapshots and from what was, as Admit does for containers:
//
//   - A name belongs to the incumbent; who claims it as well is a problem of the newcomer.
//   - What a broken file may still mean, and what an unreadable source may still hold, stays in force.
//   - A config is gone when two complete scans at least Settle apart do not show it. What runs goes on with what it has, so no policy holds that back.
func AdmitConfigs(snapshots []Snapshot, before Configs) Configs {
	a := configAdmitter{before: before, claims: map[string][]*ConfigInForce{}, Configs: Configs{
		ByName: map[string]*ConfigInForce{}, Problems: map[string]spec.Problems{}, Broken: map[string]string{}, Missing: map[string]time.Time{},
	}}
	for i := range snapshots {
		a.read(&snapshots[i])
	}
	for _, c := range before.ByName {
		a.keep(c, snapshots)
	}
	for _, name := range slices.Sorted(maps.Keys(a.claims)) {
		a.claim(name, a.claims[name])
	}
	for name := range a.ByName {
		delete(a.Broken, name)
	}
	return a.Configs
}

// configAdmitter is an admission of configs being made.
type configAdmitter struct {
	Configs
	before Configs
	claims map[string][]*ConfigInForce
}

// read collects what a readable source says.
func (a *configAdmitter) read(s *Snapshot) {
	if !s.OK() {
		return
	}
	for _, f := range s.Files {
		for _, p := range f.Problems {
			if p.Kind == spec.KindConfig && p.Name != "" && a.Broken[p.Name] == "" {
				a.Broken[p.Name] = p.Error()
			}
		}
		for i := range f.Documents {
			if d := &f.Documents[i]; d.Config != nil {
				a.claims[d.Name()] = append(a.claims[d.Name()], newConfig(s, f, d))
			}
		}
	}
}

func newConfig(s *Snapshot, f *File, d *spec.Document) *ConfigInForce {
	return &ConfigInForce{Name: d.Name(), Contents: d.Contents, Origin: Origin{s.Source, f.Path, d.Line}, document: d, uses: &projections{}}
}

// claim gives a name to one of its claimants: the incumbent's own place first, then its file, its source, and the first of all.
func (a *configAdmitter) claim(name string, claims []*ConfigInForce) {
	incumbent := a.before.ByName[name]
	rank := func(c *ConfigInForce) int {
		switch {
		case incumbent == nil:
			return 0
		case c.Origin == incumbent.Origin:
			return 0
		case c.Origin.Source == incumbent.Origin.Source && c.Origin.Path == incumbent.Origin.Path:
			return 1
		case c.Origin.Source == incumbent.Origin.Source:
			return 2
		}
		return 3
	}
	winner := a.ByName[name] // which is kept
	if winner == nil {
		winner = slices.MinFunc(claims, func(x, y *ConfigInForce) int { return cmp.Compare(rank(x), rank(y)) })
		winner.Accepted = Acceptance{Status: spec.True, Reason: ReasonValid}
		if incumbent != nil && incumbent.document == winner.document && incumbent.Accepted == winner.Accepted && incumbent.Origin == winner.Origin {
			winner = incumbent // the very one when nothing changed
		}
	}
	for _, c := range claims {
		if c.Origin == winner.Origin {
			continue
		}
		a.Problems[c.Origin.Source] = append(a.Problems[c.Origin.Source], spec.Problem{
			File: c.Origin.Path, Line: c.Origin.Line, Column: 1, Path: "metadata.name", Kind: spec.KindConfig, Name: name, Reason: ReasonDuplicateName,
			Message: fmt.Sprintf("%s: config %q belongs to %s:%d", ReasonDuplicateName, name, winner.Origin.Path, winner.Origin.Line),
			Hint:    "give it another name, or remove one of the two",
		})
	}
	a.ByName[name] = winner
}

// keep lets a config stay that its own file does not claim any more, while its source may still mean it.
func (a *configAdmitter) keep(c *ConfigInForce, snapshots []Snapshot) {
	i := slices.IndexFunc(snapshots, func(s Snapshot) bool { return s.Source == c.Origin.Source })
	own := func(o *ConfigInForce) bool {
		return o.Origin.Source == c.Origin.Source && o.Origin.Path == c.Origin.Path
	}
	if i < 0 || slices.ContainsFunc(a.claims[c.Name], own) {
		return
	}
	s := snapshots[i]
	since, missing := a.before.Missing[c.Name]
	if !missing {
		since = s.ReadAt
	}
	switch p, isBroken := meaning(s, c); {
	case !s.OK():
		a.ByName[c.Name] = c.with(Acceptance{spec.Unknown, ReasonSourceUnavailable, unavailable(&s)})
	case isBroken:
		a.ByName[c.Name] = c.with(Acceptance{spec.False, cmp.Or(p.Reason, ReasonInvalid), p.Error()})
	case a.claims[c.Name] != nil: // it moved
	case !missing || s.ReadAt.Sub(since) < Settle:
		a.Missing[c.Name] = since
		a.ByName[c.Name] = c.with(Acceptance{spec.True, ReasonRemoving, ""})
	}
}

// meaning is a problem of a source that may be about a config: of its file, of its name, or of what nobody can tell.
func meaning(s Snapshot, c *ConfigInForce) (found spec.Problem, ok bool) {
	for _, f := range s.Files {
		for _, p := range f.Problems {
			if f.Path == c.Origin.Path || p.Name == "" || p.Kind == spec.KindConfig && p.Name == c.Name {
				return p, true
			}
		}
	}
	return found, false
}

// with is c as another admission has it.
func (c *ConfigInForce) with(a Acceptance) *ConfigInForce {
	copied := *c
	copied.Accepted = a
	return &copied
}

// changedConfigs are the names of configs that are in force with other contents than before, or not any more, sorted.
func changedConfigs(before, after map[string]*ConfigInForce) (names []string) {
	for name, c := range after {
		if old := before[name]; old == nil || old.document != c.document && !old.Contents.Equal(c.Contents) {
			names = append(names, name)
		}
	}
	for name := range before {
		if after[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
