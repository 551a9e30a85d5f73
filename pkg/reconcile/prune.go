package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// PrunePolicy says when the containers of removed manifests are destroyed.
type PrunePolicy string

// The prune policies. Guarded holds a scan back that removes more than 3 objects and more than half of its source, until
// somebody confirms it; Never holds back every removal.
const (
	PruneGuarded PrunePolicy = "guarded"
	PruneAlways  PrunePolicy = "always"
	PruneNever   PrunePolicy = "never"
)

// guardCount is how many removals at once are never held back by the guard.
const guardCount = 3

// holds tells whether removing so many of a source's objects at once needs a confirmation. No policy is Guarded.
func (p PrunePolicy) holds(removed, total int) bool {
	switch p {
	case PruneAlways:
		return false
	case PruneNever:
		return true
	}
	return removed > guardCount && 2*removed > total
}

// Confirmation is what somebody confirmed of one source: the removals that were held back then, and no later ones.
type Confirmation struct {
	Hash  string // of the source's contents
	Names []string
}

// covers tells whether a source with these contents may lose these names.
func (c Confirmation) covers(hash string, names []string) bool {
	return c.Hash == hash && !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(c.Names, name) })
}

// done tells whether nothing of a confirmation is left to do: an empty directory has the same hash each time it is emptied.
func (c Confirmation) done(a Admission) bool {
	return !slices.ContainsFunc(c.Names, func(name string) bool { _, missing := a.Missing[name]; return missing })
}

// prune decides about names that a readable source no longer has.
func (a *admitter) prune() {
	for _, source := range slices.Sorted(maps.Keys(a.gone)) {
		names := slices.Sorted(slices.Values(a.gone[source]))
		s := a.sources[source]
		held := a.guards(source, names) && !a.Confirmed[source].covers(s.Hash, names)
		for _, name := range names {
			since, missing := a.Request.Missing[name]
			if !missing {
				since = s.listed()
			}
			switch d := a.Incumbents[name]; {
			case held:
				a.Blocked[source] = append(a.Blocked[source], name)
				a.Admission.Missing[name] = since
				a.stay(name, d.guarded(a.Prune), Acceptance{spec.False, ReasonPruneBlocked, fmt.Sprintf("removed with %d others at once: confirm with `reconciler prune --confirm %s@%s`", len(names)-1, source, s.Hash)})
			case !missing || s.ReadAt.Sub(since) < Settle:
				a.Admission.Missing[name] = since
				a.stay(name, d, Acceptance{spec.True, ReasonRemoving, ""})
			default:
				a.Removed = append(a.Removed, name)
			}
		}
	}
}

// guards tells whether the removal of names of a source waits for a confirmation. What the guard has once held back it holds back until then, or until it is
// there again: as many new manifests as are gone, those of another directory say, are no confirmation.
func (a *admitter) guards(source string, names []string) bool {
	fresh := 0
	for _, name := range names {
		if !a.Incumbents[name].Guarded {
			fresh++
		}
	}
	return a.Prune.holds(fresh, a.held(source)) || fresh < len(names) && a.Prune != PruneAlways
}

// guarded is d as held back by a policy. Never marks nothing: another policy begins anew.
func (d *Desired) guarded(p PrunePolicy) *Desired {
	if d.Guarded || p == PruneNever {
		return d
	}
	copied := *d
	copied.Guarded = true
	return &copied
}

// release decides about names whose source this agent does not have: only a person can say that they are removed.
func (a *admitter) release() {
	for source, names := range a.orphans {
		slices.Sort(names)
		hash := hashOf(names)
		if a.Confirmed[source].covers(hash, names) {
			a.Removed = append(a.Removed, names...)
			continue
		}
		if a.Unclaimed == nil {
			a.Unclaimed = map[string]string{}
		}
		a.Unclaimed[source], a.Blocked[source] = hash, names
		for _, name := range names {
			a.stay(name, a.Incumbents[name], Acceptance{
				spec.Unknown, ReasonUnclaimed,
				fmt.Sprintf("no source of this agent has it: put its manifest back, or remove it with `reconciler prune --confirm %s@%s`", source, hash),
			})
		}
	}
}

// hashOf is a short hash of some names.
func hashOf(names []string) string {
	h := sha256.Sum256([]byte(strings.Join(names, "\n")))
	return hex.EncodeToString(h[:6])
}

// held counts the incumbents of a source, without those that it did not have before: whose removal is held back.
func (a *admitter) held(source string) (n int) {
	for _, d := range a.Incumbents {
		if d.Origin.Source == source && !d.Guarded {
			n++
		}
	}
	return n
}
