package linux

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
)

// homes remembers for deep looks in which namespaces a run was that are those the keeper keeps for its name, or of which it keeps none: while a run is in the same
// ones, the keeper is not woken up to say so again. What the keeper keeps for a run stays the same as long as the run.
type homes struct {
	mu   sync.Mutex
	seen map[string]home
}

// home is where a run was.
type home struct {
	instance uint64
	starts   int
	pid      int
	spaces   [3]namespace.ID // net, ipc and uts, in the order of namespace.Kinds
}

// mostHomes bounds what is remembered of names. Nothing is lost with it: the keeper is asked once more.
const mostHomes = 10000

// place is the place of a kind in home.spaces; of one that no keeper keeps there is none.
func place(kind string) (at int, ok bool) {
	for i, k := range namespace.Kinds {
		if k.Sandbox && k.Name == kind {
			return i, true
		}
	}
	return 0, false
}

// home is what is remembered of the run; nothing of an earlier one.
func (l *deepLook) home() (h home, known bool) {
	h, known = l.n.homes.seen[l.in.Name]
	if run := (home{l.in.ID, l.in.Starts, l.in.Pid, h.spaces}); !known || h != run {
		return home{l.in.ID, l.in.Starts, l.in.Pid, [3]namespace.ID{}}, false
	}
	return h, true
}

// isHome tells whether the run is in a namespace that was found to be the right one.
func (l *deepLook) isHome(kind string, found namespace.ID) bool {
	l.n.homes.mu.Lock()
	defer l.n.homes.mu.Unlock()
	at, ok := place(kind)
	h, known := l.home()
	return ok && known && h.spaces[at] == found
}

// settle remembers that a namespace is the right one.
func (l *deepLook) settle(kind string, found namespace.ID) {
	homes := &l.n.homes
	homes.mu.Lock()
	defer homes.mu.Unlock()
	if homes.seen == nil || len(homes.seen) >= mostHomes {
		homes.seen = map[string]home{}
	}
	if at, ok := place(kind); ok {
		h, _ := l.home()
		h.spaces[at] = found
		homes.seen[l.in.Name] = h
	}
}

// keeps is the namespace of a kind that the keeper keeps for the container, nil for none. Who was restored with users of its own has namespaces that criu made, and the
// keeper none of them.
func (l *deepLook) keeps(kind string) (_ *os.File, err error) {
	if _, ok := place(kind); !ok || hasUsers(l.full.Spec) {
		return nil, nil
	}
	if !l.asked {
		if _, l.kept, err = l.n.keeper.Sandbox(l.ctx, sandboxKey(l.in.Name, l.in.Spec.Spec.Group)); err != nil {
			return nil, err
		}
		l.asked = true
	}
	return l.kept[kind], nil
}

// open opens one of process 1's namespaces, or for those that the name has, that one.
func (l *deepLook) open(kind string) (*os.File, func(), error) {
	path := fmt.Sprintf("/proc/%d/ns/%s", l.in.Pid, kind)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if id, err := namespace.Of(f); err == nil && l.isHome(kind, id) {
		return f, func() { f.Close() }, nil
	}
	if kept, err := l.keeps(kind); kept != nil || err != nil {
		f.Close()
		return kept, func() {}, err
	}
	return f, func() { f.Close() }, nil
}
