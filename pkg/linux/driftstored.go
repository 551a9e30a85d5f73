package linux

import (
	"strings"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
)

// stored remembers how this kernel shows values of parameters that it does not keep as they were written. Nothing is lost with it: a value is written once more.
type stored struct {
	mu    sync.Mutex
	shown map[mount.Sysctl]string
}

// of is how the kernel shows a parameter that has its value, as far as is known.
func (s *stored) of(p mount.Sysctl) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if shown, ok := s.shown[p]; ok {
		return shown
	}
	return strings.Join(strings.Fields(p.Value), " ")
}

// mostStored bounds what is remembered.
const mostStored = 10000

func (s *stored) note(p mount.Sysctl, shown string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil || len(s.shown) >= mostStored {
		s.shown = map[mount.Sysctl]string{}
	}
	s.shown[p] = shown
}
