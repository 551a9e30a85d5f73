package capability

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sets are the sets of a process just before execve; see capabilities(7).
type Sets struct {
	// Bounding is what the process and its descendants can ever gain.
	Bounding Set
	// Permitted is what it holds, Effective what of it is in use. Empty for users other than root, except for Ambient, unless a
	// manifest says each set itself.
	Permitted, Effective Set
	// Inheritable is Ambient, unless a manifest says each set itself.
	Inheritable Set
	// Ambient is what a user other than root keeps across execve.
	Ambient Set
}

// With are sets of a process that holds and uses a capability besides; it is not bounded to it, so that it ends with the next execve.
func (s Sets) With(n int) Sets {
	s.Permitted |= Of(n)
	s.Effective |= Of(n)
	return s
}

// NewSets are the sets for a manifest's capabilities. Either it says each of the five, or it changes the default list: minus drop, plus
// add, where ALL is every capability the node has. The whole list bounds. Root holds it all. Another user holds, as
// ambient capabilities, only those the manifest adds: to it the default list means what it means to root's children that
// changed their user, nothing, but a name in add is a wish that would otherwise be ignored in silence.
//
// An unknown name is fs.ErrInvalid, as are sets that the kernel would refuse; a name that the node lacks is
// errors.ErrUnsupported. Default names that it lacks are left out.
func NewSets(c spec.Capabilities, uid uint32, node Node) (Sets, error) {
	if c.Explicit() {
		return explicit(c, node)
	}
	drop, err := parse(c.Drop, ^Set(0))
	if err != nil {
		return Sets{}, err
	}
	add, err := held(c.Add, node)
	if err != nil {
		return Sets{}, err
	}
	bounding := (Default&^drop | add) & node.Have
	if uid != 0 {
		return Sets{Bounding: bounding, Permitted: add, Effective: add, Inheritable: add, Ambient: add}, nil
	}
	return Sets{Bounding: bounding, Permitted: bounding, Effective: bounding}, nil
}

// explicit are sets that are said one by one.
func explicit(c spec.Capabilities, node Node) (s Sets, err error) {
	if err := c.Check(); err != nil {
		return Sets{}, fmt.Errorf("cannot use capabilities: %w: %w", err, fs.ErrInvalid)
	}
	for _, said := range []struct {
		names []string
		set   *Set
	}{{c.Bounding, &s.Bounding}, {c.Effective, &s.Effective}, {c.Permitted, &s.Permitted}, {c.Inheritable, &s.Inheritable}, {c.Ambient, &s.Ambient}} {
		if *said.set, err = held(said.names, node); err != nil {
			return Sets{}, err
		}
	}
	return s, nil
}

// held is the set of names that the node must have.
func held(names []string, node Node) (Set, error) {
	set, err := parse(names, node.Have)
	if err != nil {
		return 0, err
	}
	if missing := set &^ node.Have; missing != 0 {
		return 0, fmt.Errorf("cannot give capability %v: the node's keeper does not hold it: %w", missing, errors.ErrUnsupported)
	}
	return set, nil
}

// Known parts names into those that this kernel and node can give, and the rest, for callers that go on without.
func Known(names []string, node Node) (known, rest []string) {
	for _, name := range names {
		if _, err := held([]string{name}, node); err != nil {
			rest = append(rest, name)
		} else {
			known = append(known, name)
		}
	}
	return known, rest
}

// ExecSets are the sets of a further process of a container: those that the container's words give its user, minus what change
// drops, plus what it adds. Errors are those of NewSets.
func ExecSets(container, change spec.Capabilities, uid uint32, node Node) (Sets, error) {
	s, err := NewSets(container, uid, node)
	if err != nil {
		return Sets{}, err
	}
	drop, err := parse(change.Drop, ^Set(0))
	if err != nil {
		return Sets{}, err
	}
	add, err := held(change.Add, node)
	if err != nil {
		return Sets{}, err
	}
	kept := Set(0) // across the change of the user
	if uid != 0 {
		kept = add
	}
	for set, more := range map[*Set]Set{&s.Bounding: add, &s.Permitted: add, &s.Effective: add, &s.Inheritable: kept, &s.Ambient: kept} {
		*set = *set&^drop | more
	}
	return s, nil
}
