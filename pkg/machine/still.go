package machine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// still keeps what would not be in an image apart from the taking of it, and those who would disturb it.
type still struct {
	mu    sync.Mutex
	held  map[string]*holding // by container: an image is being taken
	comes map[string]int      // further processes on their way
}

// holding is the taking of images of some containers.
type holding struct {
	company []spec.Instance // as they were before
	end     context.CancelCauseFunc
	ended   chan struct{}
}

// enter tells whether a further process may come into a container; leave follows.
func (s *still) enter(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] != nil {
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

// hold keeps further processes out of containers until done, and other images of them. Who cannot wait for that ends it with its reason.
func (s *still) hold(company []spec.Instance, end context.CancelCauseFunc) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range company {
		switch {
		case s.held[in.Name] != nil:
			return nil, fmt.Errorf("an image is being taken of %q: %w", in.Name, spec.ErrBusy)
		case s.comes[in.Name] > 0:
			return nil, fmt.Errorf("a further process is being started in %q: %w", in.Name, spec.ErrBusy)
		}
	}
	if s.held == nil {
		s.held = map[string]*holding{}
	}
	h := &holding{company: company, end: end, ended: make(chan struct{})}
	for _, in := range company {
		s.held[in.Name] = h
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, in := range company {
			delete(s.held, in.Name)
		}
		close(h.ended)
	}), nil
}

// isHeld tells whether an image is being taken of a container.
func (s *still) isHeld(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name] != nil
}

// was is the phase of an instance before it was made to stand still for its image, if it is.
func (s *still) was(in spec.Instance) (spec.InstancePhase, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[in.Name]; h != nil {
		for _, before := range h.company {
			if before.Name == in.Name && before.ID == in.ID {
				return before.Phase, true
			}
		}
	}
	return "", false
}

// await waits until no image is being taken of a container; for a reason, if there is one, its taking is given up.
func (s *still) await(ctx context.Context, name string, reason error) error {
	s.mu.Lock()
	h := s.held[name]
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	if reason != nil {
		h.end(reason)
	}
	select {
	case <-h.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an image is being taken of %q: %w", name, errors.Join(spec.ErrBusy, context.Cause(ctx)))
	}
}
