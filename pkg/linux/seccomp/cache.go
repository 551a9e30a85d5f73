package seccomp

import (
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
)

// Cache keeps the compiled default filters of this machine; the zero value is ready. Filters it returns are shared: do not change them.
type Cache struct {
	mu      sync.Mutex
	filters map[capability.Set]Filter // by bounding set
}

// Default is the compiled Default policy for a bounding set.
func (c *Cache) Default(caps capability.Set) (Filter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.filters[caps]; ok {
		return f, nil
	}
	f, err := Compile(Default(caps), Native())
	if err != nil {
		return nil, err
	}
	if c.filters == nil {
		c.filters = make(map[capability.Set]Filter)
	}
	c.filters[caps] = f
	return f, nil
}
