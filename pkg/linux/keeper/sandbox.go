package keeper

import (
	"fmt"
	"os"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// poolSize is how many sandboxes are kept ready.
const poolSize = 2

// sandboxes are the namespaces of each name, from its first start until Forget.
type sandboxes struct {
	pool *network.Pool

	mu     sync.Mutex
	byName map[string]sandbox
}

// sandbox is what a name's processes share.
type sandbox struct {
	mode spec.NetworkMode
	network.Sandbox
}

// take gives the sandbox of a name, made at first use and again when the network mode has changed. The
// files are the sandboxes': good until forget, or take with another mode.
func (s *sandboxes) take(name string, mode spec.NetworkMode) (network.Sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	had, ok := s.byName[name]
	if ok && had.mode == mode {
		return had.Sandbox, nil
	}
	made, err := s.pool.Take(mode)
	if err != nil {
		return network.Sandbox{}, fmt.Errorf("cannot make the namespaces of %q: %w", name, err)
	}
	had.Close()
	s.byName[name] = sandbox{mode, made}
	return made, nil
}

// adopt takes over the sandbox of a name from a process in it, unless it is known.
func (s *sandboxes) adopt(name string, mode spec.NetworkMode, pid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.byName[name]; ok {
		return nil
	}
	found := sandbox{mode: mode}
	for _, ns := range found.files() {
		if ns.kind == "net" && mode == spec.NetworkHost {
			continue
		}
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, ns.kind))
		if err != nil {
			found.Close()
			return fmt.Errorf("cannot adopt the namespaces of %q: %w", name, err)
		}
		*ns.file = f
	}
	s.byName[name] = found
	return nil
}

// forget lets go of the sandbox of a name.
func (s *sandboxes) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.byName[name]
	had.Close()
	delete(s.byName, name)
}

// namespace is one of a sandbox's, by its name below /proc/PID/ns, which is also its name in a start program.
type namespace struct {
	kind string
	file **os.File
}

// files are the namespaces of a sandbox; absent ones are nil.
func (s *sandbox) files() []namespace {
	return []namespace{{FileNet, &s.Net}, {FileIPC, &s.IPC}, {FileUTS, &s.UTS}}
}
