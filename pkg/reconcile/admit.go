package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Settle is how long a manifest must stay away before it counts as removed: editors and version control take files away
// and put them back within it.
const Settle = 200 * time.Millisecond

// Admission is which manifests are in force.
type Admission struct {
	Desired map[string]*Desired
	// Removed are names whose removal this admission confirmed, sorted; they are not among Desired.
	Removed []string
	// Blocked are removals that wait for a confirmation, by source, sorted.
	Blocked map[string][]string
	// Problems are names that are claimed twice, by source. The problems of files are not repeated here.
	Problems map[string]spec.Problems
	// Missing says since which scan a name is missing in its source. It goes into the next Admit.
	Missing map[string]time.Time
	// Unclaimed are the hashes by which the names of sources that this agent does not have can be confirmed as removed;
	// the names are in Blocked.
	Unclaimed map[string]string
}

// Request is what Admit decides from.
type Request struct {
	// Snapshots are the newest ones of all sources; the order decides between newcomers of one name.
	Snapshots []Snapshot
	// Incumbents are what was in force before.
	Incumbents map[string]*Desired
	// Missing is what the admission before said.
	Missing map[string]time.Time
	Prune   PrunePolicy
	// Confirmed are removals that somebody confirmed, by source.
	Confirmed map[string]Confirmation
}

// Admit decides which manifests are in force, without looking at anything but its arguments:
//
//   - A name belongs to the incumbent; who claims it as well is a problem of the newcomer, and so is a circle of dependencies.
//   - What a broken file may still mean, and what an unreadable source may still hold, stays in force. A broken file of which
//     no container is known may hold any that its source no longer shows elsewhere.
//   - A manifest is removed when two complete scans at least Settle apart do not show it, and the prune policy agrees.
func Admit(r Request) Admission {
	a := admitter{
		Request: r,
		Admission: Admission{
			Desired:  make(map[string]*Desired, len(r.Incumbents)),
			Blocked:  map[string][]string{},
			Problems: map[string]spec.Problems{},
			Missing:  map[string]time.Time{},
		},
		sources: map[string]*Snapshot{},
		broken:  map[Origin]*File{},
		claimed: map[string]*File{},
		gone:    map[string][]string{},
		orphans: map[string][]string{},
		riddles: map[string]*File{},
	}
	a.read()
	a.findRiddles()
	a.keep()
	a.claim()
	a.circles()
	a.prune()
	a.release()
	slices.Sort(a.Removed)
	return a.Admission
}

// admitter is an admission being made.
type admitter struct {
	Request
	Admission
	sources map[string]*Snapshot
	claims  map[string][]claim
	broken  map[Origin]*File    // files with problems, by source and path
	claimed map[string]*File    // files with problems that name a container
	riddles map[string]*File    // a file that may hold anything, by source
	gone    map[string][]string // names that their readable source no longer has, by source
	orphans map[string][]string // names of sources that this agent does not have, by source
}

// claim is one document that claims a name.
type claim struct {
	origin   Origin
	document *spec.Document
}

// read collects what the readable sources say.
func (a *admitter) read() {
	a.claims = make(map[string][]claim, len(a.Incumbents))
	for i := range a.Snapshots {
		s := &a.Snapshots[i]
		a.sources[s.Source] = s
		if !s.OK() {
			continue
		}
		for _, f := range s.Files {
			a.readFile(s.Source, f)
		}
	}
}

func (a *admitter) readFile(source string, f *File) {
	if len(f.Problems) > 0 {
		a.broken[Origin{Source: source, Path: f.Path}] = f
	}
	for _, p := range f.Problems {
		if p.Name != "" {
			a.claimed[p.Name] = f
		}
	}
	for i := range f.Documents {
		d := &f.Documents[i]
		name := d.Container.Metadata.Name
		a.claims[name] = append(a.claims[name], claim{Origin{source, f.Path, d.Line}, d})
	}
}

// keep lets incumbents stay that nobody else may take the name of, and finds those that are gone.
func (a *admitter) keep() {
	for name, d := range a.Incumbents {
		own := a.sources[d.Origin.Source]
		switch file := a.broken[Origin{Source: d.Origin.Source, Path: d.Origin.Path}]; {
		case a.claimedBy(name, d.Origin):
		case own != nil && !own.OK():
			a.stay(name, d, Acceptance{spec.Unknown, ReasonSourceUnavailable, unavailable(own)})
		case file != nil:
			a.refused(name, d, file)
		case a.claims[name] != nil:
		case a.claimed[name] != nil:
			a.refused(name, d, a.claimed[name])
		case own != nil && a.riddles[own.Source] != nil:
			a.stay(name, d, Acceptance{spec.False, ReasonInvalid, "it may be in a broken file: " + a.riddles[own.Source].Problems[0].Error()})
		case own == nil:
			source := cmp.Or(d.Origin.Source, SourceUnclaimed)
			a.orphans[source] = append(a.orphans[source], name)
		default:
			a.gone[own.Source] = append(a.gone[own.Source], name)
		}
	}
}

// findRiddles finds the files that may hold anything of their source: they are broken, do not say whose they are, and no incumbent is from them.
func (a *admitter) findRiddles() {
	for origin, f := range a.broken {
		unnamed := slices.ContainsFunc(f.Problems, func(p spec.Problem) bool { return p.Name == "" })
		if before := a.riddles[origin.Source]; unnamed && !a.known(origin) && (before == nil || f.Path < before.Path) {
			a.riddles[origin.Source] = f
		}
	}
}

// known tells whether an incumbent is from a file.
func (a *admitter) known(o Origin) bool {
	for _, d := range a.Incumbents {
		if d.Origin.Source == o.Source && d.Origin.Path == o.Path {
			return true
		}
	}
	return false
}

func (a *admitter) stay(name string, d *Desired, why Acceptance) { a.Desired[name] = d.with(why) }

// refused lets an incumbent stay because of what is wrong with a file.
func (a *admitter) refused(name string, d *Desired, f *File) {
	p := problemOf(f, name)
	a.stay(name, d, Acceptance{spec.False, cmp.Or(p.Reason, ReasonInvalid), p.Error()})
}

// claimedBy tells whether a document of the file of origin claims the name.
func (a *admitter) claimedBy(name string, o Origin) bool {
	return slices.ContainsFunc(a.claims[name], func(c claim) bool {
		return c.origin.Source == o.Source && c.origin.Path == o.Path
	})
}

// claim gives each claimed name to one of its claimants.
func (a *admitter) claim() {
	for name, claims := range a.claims {
		incumbent := a.Incumbents[name]
		if a.Desired[name] != nil {
			a.refuse(name, incumbent.Origin, claims)
			continue
		}
		winner := choose(claims, incumbent)
		why := Acceptance{Status: spec.True, Reason: ReasonValid}
		if losers := slices.DeleteFunc(slices.Clone(claims), func(c claim) bool { return c == winner }); len(losers) > 0 {
			a.refuse(name, winner.origin, losers)
			why.Reason, why.Message = ReasonDuplicateName, fmt.Sprintf("%s:%d claims the name as well and is ignored", losers[0].origin.Path, losers[0].origin.Line)
		}
		a.Desired[name] = a.admit(incumbent, winner, why)
	}
}

// admit is the winner in force; the very incumbent when nothing changed.
func (a *admitter) admit(incumbent *Desired, winner claim, why Acceptance) *Desired {
	if incumbent != nil && incumbent.Origin == winner.origin && incumbent.Accepted == why && incumbent.is(winner.document) {
		return incumbent
	}
	return &Desired{Container: winner.document.Container, Origin: winner.origin, Accepted: why, document: winner.document, hashes: newHashes()}
}

// refuse reports claims on a name that is taken.
func (a *admitter) refuse(name string, owner Origin, claims []claim) {
	for _, c := range claims {
		a.Problems[c.origin.Source] = append(a.Problems[c.origin.Source], spec.Problem{
			File: c.origin.Path, Line: c.origin.Line, Column: 1, Path: "metadata.name", Name: name, Reason: ReasonDuplicateName,
			Message: fmt.Sprintf("%s: %q belongs to %s:%d", ReasonDuplicateName, name, owner.Path, owner.Line),
			Hint:    "give it another name, or remove one of the two",
		})
	}
}

// choose prefers the incumbent's own document, then its file, then its source, then the first claim.
func choose(claims []claim, incumbent *Desired) claim {
	if len(claims) == 1 || incumbent == nil {
		return claims[0]
	}
	rank := func(c claim) int {
		switch {
		case c.origin.Source != incumbent.Origin.Source:
			return 3
		case c.origin.Path != incumbent.Origin.Path:
			return 2
		case !incumbent.is(c.document):
			return 1
		}
		return 0
	}
	return slices.MinFunc(claims, func(a, b claim) int { return cmp.Compare(rank(a), rank(b)) })
}

// problemOf is the problem of a file that is most likely about a name.
func problemOf(f *File, name string) spec.Problem {
	for _, p := range f.Problems {
		if p.Name == name {
			return p
		}
	}
	return f.Problems[0]
}

func unavailable(s *Snapshot) string {
	if s.Err == nil {
		return s.Source + " was not read yet"
	}
	return s.Err.Error()
}
