package reconcile

import "sync"

// few lets only so many names do something at one time that takes long. The others do not wait in a worker: they are told to come again.
type few struct {
	mu      sync.Mutex
	free    int
	waiting []string
}

// enter tells whether a name may; if not, it is among those that leave gives.
func (f *few) enter(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free == 0 {
		f.waiting = append(f.waiting, name)
		return false
	}
	f.free--
	return true
}

// leave makes room, and gives the names that wait for some.
func (f *few) leave() (waiting []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free++
	waiting, f.waiting = f.waiting, nil
	return waiting
}
