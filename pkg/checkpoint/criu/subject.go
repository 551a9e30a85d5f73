package criu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const goarch = runtime.GOARCH

// subject is the process that a trial dumps and restores: the waiter, in namespaces and a root of its own, with a pipe that has something in it, a listening
// socket, and perhaps both ends of a connection. They are looked at from outside, through its descriptors.
type subject struct {
	pid      int // 0 if there is none
	net      *os.File
	netInode uint64
}

// The subject's descriptors, and what is in the pipe and on its way through the connection.
const (
	pipeOut = iota
	pipeIn
	listener
	near
	far

	said1 = "in the pipe"
	said2 = "on its way"
)

// port is where the subject listens. Its network namespace has no other process.
const port = 4242

// newSubject starts one.
func newSubject(a attempt) (s *subject, err error) {
	s = &subject{}
	if s.pid, err = startInside(a); err == nil {
		err = s.openNetwork(s.pid)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// openNetwork takes hold of a process's network namespace.
func (s *subject) openNetwork(pid int) error {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return err
	}
	s.close()
	s.net = f
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return err
	}
	s.netInode = stat.Ino
	return nil
}

// furnishNetwork does what an agent does to a new network namespace.
func (s *subject) furnishNetwork(pid int) error {
	if err := s.openNetwork(pid); err != nil {
		return err
	}
	return s.within(loopbackUp)
}

// within runs f in the subject's network namespace, in a thread that ends with it.
func (s *subject) within(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(s.net.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

var loopback = [4]byte{127, 0, 0, 1}

func tcpSocket() (int, error) {
	return unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
}

// connect makes a connection to the subject, from within its network namespace.
func connect() (int, error) {
	fd, err := tcpSocket()
	if err != nil {
		return -1, err
	}
	wait := unix.NsecToTimeval(verifyTimeout.Nanoseconds()) // packets may be held back for good
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: loopback}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func loopbackUp() error {
	fd, err := tcpSocket()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// count reads how far the subject has counted.
func (s *subject) count() (n uint64, err error) {
	mem, err := os.Open("/proc/" + strconv.Itoa(s.pid) + "/mem")
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	var word [8]byte
	if _, err := mem.ReadAt(word[:], counterAddress); err != nil {
		return 0, fmt.Errorf("cannot read its memory: %w", err)
	}
	return binary.NativeEndian.Uint64(word[:]), nil
}

// verify looks at a restored subject: it counts on, and its descriptors have what was in them.
func (s *subject) verify(a attempt, before uint64) error {
	first, err := s.count()
	if err != nil {
		return err
	}
	if first < before {
		return fmt.Errorf("it has counted to %d before and to %d now", before, first)
	}
	for end := time.Now().Add(verifyTimeout); ; time.Sleep(time.Millisecond) {
		if n, err := s.count(); err != nil || n > first {
			break
		} else if time.Now().After(end) {
			return fmt.Errorf("it counts no further than %d", n)
		}
	}
	pidfd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	if err := expect(pidfd, pipeOut, said1); err != nil {
		return fmt.Errorf("its pipe: %w", err)
	}
	if a.connection {
		if err := errors.Join(expect(pidfd, far, said2), put(pidfd, far, said1), expect(pidfd, near, said1)); err != nil {
			return fmt.Errorf("its connection: %w", err)
		}
	}
	if err := s.reach(); err != nil {
		return fmt.Errorf("its listening socket: %w", err)
	}
	return nil
}

// reach connects to the subject.
func (s *subject) reach() error {
	return s.within(func() error {
		fd, err := connect()
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	})
}

// expect reads from a descriptor of another process, without waiting for long.
func expect(pidfd, fd int, want string) error {
	f, err := borrow(pidfd, fd)
	if err != nil {
		return err
	}
	defer f.Close()
	poll := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, int(verifyTimeout.Milliseconds())); err != nil || n == 0 {
		return errors.Join(errors.New("nothing comes out"), err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(f, got); err != nil || string(got) != want {
		return errors.Join(fmt.Errorf("%q comes out, not %q", got, want), err)
	}
	return nil
}

func put(pidfd, fd int, what string) error {
	f, err := borrow(pidfd, fd)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(what)
	return err
}

func borrow(pidfd, fd int) (*os.File, error) {
	n, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot have its descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(n), "borrowed"), nil
}

// reap waits for a subject that was killed.
func (s *subject) reap() {
	if s.pid > 0 {
		unix.Wait4(s.pid, nil, 0, nil)
	}
	s.pid = 0
}

// end kills and reaps it, if it is there.
func (s *subject) end() {
	if s.pid > 0 {
		unix.Kill(s.pid, unix.SIGKILL)
	}
	s.reap()
	s.close()
}

func (s *subject) close() {
	if s.net != nil {
		s.net.Close()
	}
	s.net = nil
}
