package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// workers is how many descriptors are served at the same time; further ones wait in the kernel.
const workers = 8

// loop waits for all descriptors of all containers with one epoll(7), itself one entry in the runtime's poller, so that
// a container costs no goroutine and an idle node no wake-up.
type loop struct {
	epoll *os.File
	conn  syscall.RawConn
	slots chan struct{}
	log   logr.Logger
	work  sync.WaitGroup

	mu      sync.Mutex
	last    uint64
	sources map[uint64]*source
}

// source is a descriptor that is waited for. Each event disarms it (EPOLLONESHOT), so ready never runs twice at a
// time; it is armed again when ready returns true.
type source struct {
	id    uint64 // never used again, unlike descriptor numbers
	fd    int
	ready func() bool
}

func newLoop(log logr.Logger) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot create epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // makes os.NewFile use the runtime's poller
		unix.Close(fd)
		return nil, fmt.Errorf("cannot create epoll: %w", err)
	}
	epoll := os.NewFile(uintptr(fd), "epoll")
	conn, err := epoll.SyscallConn()
	if err != nil {
		epoll.Close()
		return nil, err
	}
	return &loop{epoll: epoll, conn: conn, slots: make(chan struct{}, workers), log: log, sources: map[uint64]*source{}}, nil
}

// add waits for f to become readable.
func (l *loop) add(f *os.File, ready func() bool) (*source, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	s := &source{id: l.last, fd: int(f.Fd()), ready: ready}
	if err := l.control(unix.EPOLL_CTL_ADD, s); err != nil {
		return nil, fmt.Errorf("cannot wait for %s: %w", f.Name(), err)
	}
	l.sources[s.id] = s
	return s, nil
}

// remove stops waiting; do so before the descriptor is closed. A nil source is no source.
func (l *loop) remove(s *source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == nil || l.sources[s.id] != s {
		return
	}
	delete(l.sources, s.id)
	l.control(unix.EPOLL_CTL_DEL, s)
}

// rearm waits for the source again, if it was not removed meanwhile. A nil source is no source.
func (l *loop) rearm(s *source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s != nil && l.sources[s.id] == s {
		l.control(unix.EPOLL_CTL_MOD, s)
	}
}

func (l *loop) control(op int, s *source) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(s.id), Pad: int32(s.id >> 32)}
	var err error
	if failed := l.conn.Control(func(fd uintptr) { err = unix.EpollCtl(int(fd), op, s.fd, &event) }); failed != nil {
		return failed
	}
	return err
}

// run serves descriptors until ctx ends, then waits for the workers.
func (l *loop) run(ctx context.Context) error {
	defer l.work.Wait()
	defer context.AfterFunc(ctx, func() { l.epoll.Close() })()
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := l.wait(events)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot wait for containers: %w", err)
		}
		for _, e := range events[:n] {
			l.serve(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
		}
	}
}

// wait blocks the goroutine, not a thread, until there are events.
func (l *loop) wait(events []unix.EpollEvent) (n int, err error) {
	failed := l.conn.Read(func(fd uintptr) bool {
		n, err = unix.EpollWait(int(fd), events, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	return n, errors.Join(err, failed)
}

// serve hands a source to a worker, waiting until one is free. After a panic it is served again, but not at once.
func (l *loop) serve(id uint64) {
	l.mu.Lock()
	s := l.sources[id]
	l.mu.Unlock()
	if s == nil {
		return
	}
	l.slots <- struct{}{}
	l.work.Go(func() {
		defer func() { <-l.slots }()
		defer survive(l.log, func() { time.AfterFunc(retryPause, func() { l.rearm(s) }) })
		if s.ready() {
			l.rearm(s)
		}
	})
}
