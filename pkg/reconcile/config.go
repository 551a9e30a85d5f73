package reconcile

import (
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// KnownConfig is what a plan knows of a config: what it holds, or nothing and perhaps why.
type KnownConfig struct {
	Contents *spec.Contents
	Problem  string

	uses *projections
}

// projections are what containers get of one config, each hashed once. The zero value is none yet.
type projections struct {
	mu sync.Mutex
	by map[spec.ConfigUse]spec.Projection
}

// project is what a container gets of a config that is known.
func (k KnownConfig) project(use spec.ConfigUse) spec.Projection {
	if k.uses == nil {
		return use.Project(*k.Contents)
	}
	k.uses.mu.Lock()
	defer k.uses.mu.Unlock()
	p, ok := k.uses.by[use]
	if !ok {
		p = use.Project(*k.Contents)
		if k.uses.by == nil {
			k.uses.by = map[spec.ConfigUse]spec.Projection{}
		}
		k.uses.by[use] = p
	}
	return p
}
