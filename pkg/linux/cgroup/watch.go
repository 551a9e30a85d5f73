package cgroup

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Watcher turns the kernel's notices about groups into hints: exits and freezes from cgroup.events, kills
// for want of memory from memory.events (v2 only; v1 has no such notice, the exit says it). One inotify
// descriptor watches every group.
type Watcher struct {
	inotify *os.File
	hints   chan spec.Event

	mu      sync.Mutex
	watches map[int32]*watch // by watch descriptor
}

// watch is one watched file.
type watch struct {
	group *Group
	kind  spec.EventKind // EventOOM, or EventExit for cgroup.events, which tells two kinds apart by its text
	last  State
}

// Watch starts a watcher that lives until ctx ends; then Hints is closed.
func (p *Parent) Watch(ctx context.Context) (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch cgroups: %w\nhint: raise fs.inotify.max_user_instances", err)
	}
	w := &Watcher{
		inotify: os.NewFile(uintptr(fd), "inotify"),
		hints:   make(chan spec.Event),
		watches: map[int32]*watch{},
	}
	context.AfterFunc(ctx, func() { _ = w.inotify.Close() })
	go func() {
		defer close(w.hints)
		w.run(ctx)
	}()
	return w, nil
}

// Hints are the events, closed when the watcher ends. A reader that is too slow gets EventLost.
func (w *Watcher) Hints() <-chan spec.Event { return w.hints }

// Add watches a group until it is removed; adding it again does nothing. A group that is not there is fs.ErrNotExist.
func (w *Watcher) Add(g *Group) error {
	if err := w.add(g.parent.unified, g, "cgroup.events", spec.EventExit); err != nil {
		return err
	}
	for _, b := range g.parent.limits {
		if b.key == "memory.max" && b.err == nil && b.store == b.v2 {
			return w.add(b.root, g, "memory.events", spec.EventOOM)
		}
	}
	return nil
}

func (w *Watcher) add(r root, g *Group, file string, kind spec.EventKind) error {
	f, err := r.open(g.path+"/"+file, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	// By descriptor: inotify knows only paths, and this one means the file just opened (proc_pid_fd(5)).
	wd, err := w.control(func(fd int) (int, error) {
		return unix.InotifyAddWatch(fd, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.IN_MODIFY)
	})
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w\nhint: raise fs.inotify.max_user_watches", f.Name(), err)
	}
	if w.watches[int32(wd)] == nil {
		state, _ := rereadState(f)
		w.watches[int32(wd)] = &watch{group: g, kind: kind, last: state}
	}
	return nil
}

// Remove stops watching a group; one that is not watched is success. The kernel does not end a watch with its cgroup.
func (w *Watcher) Remove(g *Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wd, watch := range w.watches {
		if watch.group.path == g.path {
			delete(w.watches, wd)
			_, _ = w.control(func(fd int) (int, error) { return unix.InotifyRmWatch(fd, uint32(wd)) })
		}
	}
}

// control runs f on the inotify descriptor, which stays in non-blocking mode and open meanwhile.
func (w *Watcher) control(f func(fd int) (int, error)) (n int, err error) {
	conn, err := w.inotify.SyscallConn()
	if err != nil {
		return 0, err
	}
	if failed := conn.Control(func(fd uintptr) { n, err = f(int(fd)) }); failed != nil {
		return 0, failed
	}
	return n, err
}

// run reads notices until ctx ends. It waits for the reader of hints: the kernel queues meanwhile, and
// says when its queue overflowed (inotify(7), IN_Q_OVERFLOW).
func (w *Watcher) run(ctx context.Context) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.inotify.Read(buffer)
		if err != nil {
			return
		}
		for notice := buffer[:n]; len(notice) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(notice))
			mask := binary.NativeEndian.Uint32(notice[4:])
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(notice[12:]))
			notice = notice[min(size, len(notice)):]
			e, ok := w.event(wd, mask)
			if !ok {
				continue
			}
			select {
			case w.hints <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}

// event tells what a notice means, if anything.
func (w *Watcher) event(wd int32, mask uint32) (spec.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch := w.watches[wd]
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		return spec.Event{Kind: spec.EventLost}, true
	case watch == nil: // removed since
		return spec.Event{}, false
	case mask&unix.IN_IGNORED != 0:
		delete(w.watches, wd)
		return spec.Event{}, false
	}
	return spec.Event{Name: watch.group.Name, Kind: watch.change()}, true
}

// change names what a notice is about: a change of frozen is EventFreeze, anything else of cgroup.events EventExit.
func (w *watch) change() spec.EventKind {
	if w.kind != spec.EventExit {
		return w.kind
	}
	state, err := w.group.State()
	before := w.last
	w.last = state
	if err == nil && state.Frozen != before.Frozen && state.Populated == before.Populated {
		return spec.EventFreeze
	}
	return w.kind
}
