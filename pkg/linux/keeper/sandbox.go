package keeper

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Sandbox names what outlives the processes of a name, or of a group of names: namespaces, kept by descriptor from the first
// start until Forget. Whoever starts makes them; the keeper only keeps them.
type Sandbox struct {
	// Key is whose they are.
	Key string `json:"key,omitzero"`
	// Shape says, in the starter's own words, how they were made: a start with another shape replaces them.
	Shape string `json:"shape,omitzero"`
	// Kinds are the names of the namespaces below /proc/PID/ns, which are also those of their files.
	Kinds []string `json:"kinds,omitzero"`
}

// kinds are the namespaces that can be kept.
var kinds = []string{"net", "ipc", "uts", "user"}

// maxShape bounds what a starter may say of a sandbox.
const maxShape = 4096

// check refuses a sandbox that nobody can have made.
func (s Sandbox) check() error {
	if s.Key != "" {
		if err := (Key{s.Key, 1}).check(); err != nil {
			return err
		}
	}
	for i, kind := range s.Kinds {
		if !slices.Contains(kinds, kind) || slices.Contains(s.Kinds[:i], kind) {
			return fmt.Errorf("no sandbox can hold %q: %w", s.Kinds, fs.ErrInvalid)
		}
	}
	if len(s.Shape) > maxShape || s.Key == "" && len(s.Kinds) > 0 {
		return fmt.Errorf("no sandbox can be %q of %q: %w", s.Shape, s.Key, fs.ErrInvalid)
	}
	return nil
}

// sandboxes are those that are kept, by key.
type sandboxes struct {
	mu    sync.Mutex
	byKey map[string]keptSandbox
}

// keptSandbox is a sandbox with its namespaces by kind.
type keptSandbox struct {
	Sandbox
	files map[string]*os.File
}

func (s keptSandbox) close() {
	for _, f := range s.files {
		f.Close()
	}
}

// get copies the sandbox of a key; one that is not kept has no kinds. The caller closes the files.
func (s *sandboxes) get(key string) (keptSandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.byKey[key]
	files, err := duplicate(kept.files)
	return keptSandbox{kept.Sandbox, files}, err
}

// keep keeps copies of a sandbox's namespaces, unless one of that shape is kept already.
func (s *sandboxes) keep(sandbox Sandbox, files map[string]*os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	had, ok := s.byKey[sandbox.Key]
	if sandbox.Key == "" || ok && had.Shape == sandbox.Shape {
		return nil
	}
	own := map[string]*os.File{}
	for _, kind := range sandbox.Kinds {
		if files[kind] == nil {
			return fmt.Errorf("cannot keep the namespaces of %q: no file %q came along: %w", sandbox.Key, kind, fs.ErrInvalid)
		}
		own[kind] = files[kind]
	}
	own, err := duplicate(own)
	if err != nil {
		return fmt.Errorf("cannot keep the namespaces of %q: %w", sandbox.Key, err)
	}
	had.close()
	s.byKey[sandbox.Key] = keptSandbox{sandbox, own}
	return nil
}

// adopt takes over a sandbox from a process in it, unless it is known.
func (s *sandboxes) adopt(sandbox Sandbox, pid int, pidfd *os.File) error {
	s.mu.Lock()
	_, known := s.byKey[sandbox.Key]
	s.mu.Unlock()
	if known {
		return nil
	}
	found, err := namespacesOf(sandbox, pid, pidfd)
	defer found.close()
	if err != nil {
		return err
	}
	return s.keep(sandbox, found.files)
}

// replace takes over a sandbox from a process that was restored: it may have been given other namespaces than those that were kept.
func (s *sandboxes) replace(sandbox Sandbox, pid int, pidfd *os.File) error {
	if sandbox.Key == "" {
		return nil
	}
	found, err := namespacesOf(sandbox, pid, pidfd)
	if err != nil {
		found.close()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[sandbox.Key].close()
	s.byKey[sandbox.Key] = found
	return nil
}

// namespacesOf opens the namespaces of a process. A stranger may have the pid by now: that shows only once the files are open. The caller closes them,
// even after an error.
func namespacesOf(sandbox Sandbox, pid int, pidfd *os.File) (keptSandbox, error) {
	found := keptSandbox{sandbox, map[string]*os.File{}}
	for _, kind := range sandbox.Kinds {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			return found, fmt.Errorf("cannot adopt the namespaces of %q: %w", sandbox.Key, err)
		}
		found.files[kind] = f
	}
	if err := process.Signal(pidfd, 0); err != nil {
		return found, fmt.Errorf("cannot adopt the namespaces of %q: %w", sandbox.Key, err)
	}
	return found, nil
}

// forget lets go of a sandbox: its namespaces end with the last process in them.
func (s *sandboxes) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKey[key].close()
	delete(s.byKey, key)
}

// keys are those of all sandboxes.
func (s *sandboxes) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.byKey))
}
