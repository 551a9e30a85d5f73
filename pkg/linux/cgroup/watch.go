package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Watcher turns the kernel's notices about groups into hints: exits and freezes from cgroup.events, kills for want of memory with
// their number, time lost to pressure. One goroutine waits for all groups, in one epoll.
//
// A thread waits in epoll_wait(2) itself rather than through Go's poller: asking a pressure file whether it is ready takes its event away
// (kernel/sched/psi.c, psi_trigger_poll), so that an epoll inside another would lose it.
type Watcher struct {
	epoll   int
	inotify int
	wake    int // an eventfd that ends the wait
	hints   chan spec.Event

	mu      sync.Mutex
	closed  bool
	ids     int32
	sources map[int32]*source
	watches map[int32]*watch // by inotify's watch descriptor
	looks   map[*source]*look
	// pressure is what triggers are set for, by the path of the group.
	pressure map[string]spec.Pressure
}

// source is a descriptor in the epoll. It is known there by a number of its own: one of descriptors would be used again.
type source struct {
	id    int32
	fd    int
	group *Group
	role  role
	ready func(events uint32) []spec.Event // called with mu held
}

// role is what a source is for.
type role int

const (
	roleOwn role = iota
	roleKills
	rolePressure
)

// of finds the sources of a group with a role. The caller holds mu.
func (w *Watcher) of(g *Group, r role) (found []*source) {
	for _, s := range w.sources {
		if s.role == r && s.group.path == g.path {
			found = append(found, s)
		}
	}
	return found
}

// Watch starts a watcher that lives until ctx ends; then Hints is closed.
func (p *Parent) Watch(ctx context.Context) (*Watcher, error) {
	w := &Watcher{
		epoll: -1, inotify: -1, wake: -1, hints: make(chan spec.Event),
		sources: map[int32]*source{}, watches: map[int32]*watch{}, looks: map[*source]*look{},
		pressure: map[string]spec.Pressure{},
	}
	if err := w.open(); err != nil {
		w.close()
		return nil, fmt.Errorf("cannot watch cgroups: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.closed {
			_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		}
	})
	go func() {
		defer close(w.hints)
		defer w.close()
		defer stop()
		w.run(ctx)
	}()
	return w, nil
}

func (w *Watcher) open() (err error) {
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if w.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return fmt.Errorf("%w\nhint: raise fs.inotify.max_user_instances", err)
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if _, err = w.listen(&source{fd: w.inotify, ready: w.notices}, unix.EPOLLIN); err != nil {
		return err
	}
	_, err = w.listen(&source{fd: w.wake, ready: func(uint32) []spec.Event { return nil }}, unix.EPOLLIN)
	return err
}

// close closes every descriptor there is. Whoever adds afterwards gets os.ErrClosed.
func (w *Watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, s := range w.sources {
		if s.role != roleOwn {
			_ = unix.Close(s.fd)
		}
	}
	for _, fd := range []int{w.wake, w.inotify, w.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// Hints are the events, closed when the watcher ends. The kernel queues, or counts, while the reader is slow.
func (w *Watcher) Hints() <-chan spec.Event { return w.hints }

// Add watches a group until it is removed; adding it again does nothing. Kills are counted from now on. A group that is not
// there is fs.ErrNotExist.
func (w *Watcher) Add(g *Group) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return os.ErrClosed
	}
	if err := w.addFile(g.parent.unified, g, "cgroup.events", stateNews(g)); err != nil {
		return err
	}
	return w.addKills(g)
}

// Remove stops watching a group; one that is not watched is success. The kernel does not end a watch with its cgroup.
func (w *Watcher) Remove(g *Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	for wd, watch := range w.watches {
		if watch.group.path == g.path {
			delete(w.watches, wd)
			_, _ = unix.InotifyRmWatch(w.inotify, uint32(wd))
		}
	}
	for _, s := range append(w.of(g, roleKills), w.of(g, rolePressure)...) {
		w.ignore(s)
	}
	delete(w.pressure, g.path)
}

// listen puts a source into the epoll. The caller holds mu, or nobody else knows the watcher yet.
func (w *Watcher) listen(s *source, events uint32) (*source, error) {
	w.ids++
	s.id = w.ids
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: events, Fd: s.id}); err != nil {
		return nil, err
	}
	w.sources[s.id] = s
	return s, nil
}

// ignore takes a source of a group out and closes it. The caller holds mu.
func (w *Watcher) ignore(s *source) {
	delete(w.sources, s.id)
	delete(w.looks, s)
	_ = unix.Close(s.fd) // the last descriptor of its file: epoll(7) forgets it as well
}

// run waits and tells until ctx ends.
func (w *Watcher) run(ctx context.Context) {
	events := make([]unix.EpollEvent, 64)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(w.epoll, events, w.untilLook())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range w.hintsOf(events[:max(n, 0)]) {
			select {
			case w.hints <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}

// hintsOf asks the sources that are ready, and those whose time has come, what is new.
func (w *Watcher) hintsOf(events []unix.EpollEvent) (hints []spec.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		if s := w.sources[e.Fd]; s != nil { // else it was removed since
			hints = append(hints, s.ready(e.Events)...)
		}
	}
	return append(hints, w.lookAgain()...)
}
