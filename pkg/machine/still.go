package machine

import (
	"fmt"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// still keeps what would not be in an image apart from the taking of it.
type still struct {
	mu    sync.Mutex
	held  map[string]bool // by container: an image is being taken
	comes map[string]int  // further processes on their way
}

// enter tells whether a further process may come into a container; leave follows.
func (s *still) enter(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] {
		return false
	}
	if s.comes == nil {
		s.comes = map[string]int{}
	}
	s.comes[name]++
	return true
}

func (s *still) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.comes[name]--; s.comes[name] == 0 {
		delete(s.comes, name)
	}
}

// hold keeps further processes out of containers until done, and other images of them.
func (s *still) hold(company []spec.Instance) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range company {
		switch {
		case s.held[in.Name]:
			return nil, fmt.Errorf("an image is being taken of %q: %w", in.Name, spec.ErrBusy)
		case s.comes[in.Name] > 0:
			return nil, fmt.Errorf("a further process is being started in %q: %w", in.Name, spec.ErrBusy)
		}
	}
	if s.held == nil {
		s.held = map[string]bool{}
	}
	for _, in := range company {
		s.held[in.Name] = true
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, in := range company {
			delete(s.held, in.Name)
		}
	}), nil
}
