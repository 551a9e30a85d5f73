package reconcile

import "fmt"

// PrunePolicy says when the containers of removed manifests are destroyed.
type PrunePolicy string

// The prune policies. Guarded holds a scan back that removes more than 3 objects and more than half of its source, until
// somebody confirms it; Never holds back every removal.
const (
	PruneGuarded PrunePolicy = "guarded"
	PruneAlways  PrunePolicy = "always"
	PruneNever   PrunePolicy = "never"
)

// ParsePrunePolicy reads a policy.
func ParsePrunePolicy(s string) (PrunePolicy, error) {
	switch p := PrunePolicy(s); p {
	case PruneGuarded, PruneAlways, PruneNever:
		return p, nil
	}
	return "", fmt.Errorf("unknown prune policy %q\nhint: always, guarded or never", s)
}

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
