package capability

import (
	"errors"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sets are the sets of a process just before execve; see capabilities(7). Permitted and effective are the same here.
type Sets struct {
	// Bounding is what the process and its descendants can ever gain.
	Bounding Set
	// Permitted is what it holds and uses. Empty for users other than root, except for Ambient.
	Permitted Set
	// Ambient is what a user other than root keeps across execve. It is inheritable too; nothing else is.
	Ambient Set
}

// NewSets are the sets for a manifest's capabilities: the default list, minus drop, plus add, where ALL is every
// capability the node has. The whole list bounds. Root holds it all. Another user holds, as ambient capabilities, only
// those the manifest adds: to it the default list means what it means to root's children that changed their user,
// nothing, but a name in add is a wish that would otherwise be ignored in silence.
//
// An unknown name is fs.ErrInvalid; a name in add that the node lacks is errors.ErrUnsupported. Default names that it lacks are left out.
func NewSets(c spec.Capabilities, uid uint32, node Node) (Sets, error) {
	drop, err := parse(c.Drop, ^Set(0))
	if err != nil {
		return Sets{}, err
	}
	add, err := parse(c.Add, node.Have)
	if err != nil {
		return Sets{}, err
	}
	if missing := add &^ node.Have; missing != 0 {
		return Sets{}, fmt.Errorf("cannot add capability %v: the node's keeper does not hold it: %w", missing, errors.ErrUnsupported)
	}
	bounding := (Default&^drop | add) & node.Have
	if uid != 0 {
		return Sets{Bounding: bounding, Permitted: add, Ambient: add}, nil
	}
	return Sets{Bounding: bounding, Permitted: bounding}, nil
}
