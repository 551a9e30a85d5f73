package keeper

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// strays are children that this process has not made and has to reap: a further process, which is a child of the keeper in a container's
// pid namespace, can make others (CLONE_PARENT of clone(2)); those that a further process has left to an upgraded keeper. A dead one that
// nobody reaps keeps process 1 of its namespace from ending: that waits until it is alone. See pid_namespaces(7).
type strays struct {
	making sync.RWMutex // held for reading while a child is made that is not known yet
	known  func(pid int) bool
}

// make holds the reaping off until a child is known, or reaped, which done tells.
func (s *strays) make() (done func()) {
	s.making.RLock()
	return func() {
		s.making.RUnlock()
		s.look()
	}
}

// watch looks whenever a child has ended, until ctx ends. Only a process that is nothing but a keeper may do so: all its children are its own.
func (s *strays) watch(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	for {
		s.look()
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// look reaps dead strays. Behind one that is known it looks no further: who reaps that one looks again, as does who makes a child meanwhile.
func (s *strays) look() {
	if s.known == nil || !s.making.TryLock() {
		return
	}
	defer s.making.Unlock()
	for {
		pid := reapable(unix.P_ALL, 0, unix.WNOWAIT)
		if pid == 0 || s.known(pid) {
			return
		}
		reapable(unix.P_PID, pid, 0)
	}
}

// reapable is the pid of a dead child, 0 if there is none; see waitid(2).
func reapable(kind, id, options int) int {
	var info struct {
		_   [3]int32 // signo, errno, code
		_   int32
		pid int32
		_   [108]byte
	}
	err := unix.Waitid(kind, id, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WALL|options, nil)
	if err != nil {
		return 0
	}
	return int(info.pid)
}

// knows tells whether a process is one that somebody here waits for.
func (k *keeper) knows(pid int) bool {
	if k.further.has(pid) {
		return true
	}
	for _, in := range k.all() {
		if v := in.view.Load(); v.shown.Running && v.shown.Pid == pid {
			return true
		}
	}
	return false
}

// further are the further processes that this keeper waits for.
type further struct {
	mu    sync.Mutex
	byPid map[int]*execution
}

func (f *further) add(e *execution) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byPid == nil {
		f.byPid = map[int]*execution{}
	}
	f.byPid[e.pid] = e
}

func (f *further) remove(e *execution) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byPid[e.pid] == e {
		delete(f.byPid, e.pid)
	}
}

func (f *further) has(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byPid[pid] != nil
}
