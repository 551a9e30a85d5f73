package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A run that is waited for to say that it is ready has a datagram socket for that. The keeper holds it, so that what is said while no agent runs is heard, and
// writes down what came of it. Whoever reaches the socket may speak for the run: that is who is in its mount namespace, into which alone the socket's directory
// is mounted. On the node, the directories above it are closed.
//
// Nothing of what is said can be trusted. A container that says a lot is heard now and then, and its writers wait meanwhile: the kernel keeps but
// a few messages (net.unix.max_dgram_qlen).

// ear is what a run has said of itself, and when it is heard next; guarded by mu.
type ear struct {
	said  spec.Notified
	heard time.Time     // when it was last listened to
	pause time.Duration // how long it was not from then on
	saved bool          // said is in the file
}

func newEar(said spec.Notified) ear { return ear{said: said, saved: true} }

// lastEar is what the run had said when the last keeper wrote it down.
func (in *instance) lastEar() ear {
	var n Notified
	if err := readRecord(in.dir, NotifyFile, &n); err == nil && n.Starts == in.record.Starts && in.record.Notify.Socket {
		return newEar(n.Notified)
	}
	return newEar(in.record.Notify)
}

// What is taken at once: so many bytes, where each message counts as some at least.
const (
	notifyBudget = 256 << 10
	notifyLeast  = 4 << 10
)

// told is what to do when the run has said something.
func (in *instance) told() bool {
	in.mu.Lock()
	socket, said := in.notify, in.ear.said
	in.mu.Unlock()
	if socket == nil {
		return false
	}
	said, err := listen(socket, said) // with nothing locked
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.notify != socket { // another run's by now
		return false
	}
	if err != nil {
		in.k.cfg.Log.Error(err, "cannot hear readiness", "name", in.key.Name, "instance", in.key.Instance)
	}
	if said != in.ear.said || !in.ear.saved {
		in.ear.said = said
		in.recordEar()
	}
	pause := in.ear.rest(time.Now())
	if pause == 0 && in.ear.saved && err == nil {
		return true
	}
	source := in.sources[4]
	in.k.after(max(pause, minAcceptPause), func() { in.k.loop.rearm(source) })
	return false
}

// recordEar writes down what was said and hints at it. What cannot be written is tried again.
func (in *instance) recordEar() {
	err := writeRecord(in.dir, NotifyFile, Notified{in.ear.said, in.record.Starts})
	if in.ear.saved = err == nil; err != nil {
		in.k.cfg.Log.Error(err, "cannot record readiness", "name", in.key.Name, "instance", in.key.Instance)
		in.k.after(retryPause, in.saveEar)
		return
	}
	in.k.subscribers.publish(Event{Key: in.key, Kind: spec.EventNotify})
}

// saveEar is recordEar of what is not written down yet.
func (in *instance) saveEar() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.ear.saved && in.notify != nil {
		in.recordEar()
	}
}

// notifyQuiet is how long who speaks seldom is silent.
const notifyQuiet = 100 * time.Millisecond

// rest is how long not to listen from now on: not at all to who speaks seldom, and twice as long as before to who always has something to say.
func (e *ear) rest(now time.Time) time.Duration {
	if now.Sub(e.heard) > max(notifyQuiet, 4*e.pause) {
		e.pause = 0
	} else {
		e.pause = longer(e.pause)
	}
	e.heard = now
	return e.pause
}

// listen takes messages from a socket, and tells what has been said then.
func listen(socket *os.File, said spec.Notified) (_ spec.Notified, err error) {
	conn, err := socket.SyscallConn() // which keeps its number from becoming another file's
	if err != nil {
		return said, err
	}
	buffer := make([]byte, maxMessage)
	failed := conn.Control(func(fd uintptr) {
		hurry(func() {
			for n, left := 0, notifyBudget; left > 0; left -= max(n, notifyLeast) {
				// Without room for control messages the kernel closes descriptors that come along; with MSG_TRUNC n is how long the message was.
				n, _, err = unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
				switch {
				case errors.Is(err, unix.EINTR):
				case err != nil:
					return
				case n <= len(buffer):
					said = heed(said, buffer[:n])
				}
			}
		})
	})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		err = nil
	}
	return said, errors.Join(err, failed)
}

// hurryPause is how long the last of a stranger's descriptors may take to close.
const hurryPause = 10 * time.Millisecond

// hurry calls what closes descriptors that strangers have sent. The last close of a socket with SO_LINGER waits for its peer, as long as the stranger likes; a signal ends that
// (tcp_close and sk_stream_wait_close in the kernel). SIGURG is what the runtime interrupts its own threads with, so it means nothing to anybody else.
func hurry(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, done := unix.Gettid(), make(chan struct{})
	timer := time.AfterFunc(hurryPause, func() {
		for tick := time.Tick(hurryPause); ; {
			_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			select {
			case <-done:
				return
			case <-tick:
			}
		}
	})
	defer close(done)
	defer timer.Stop()
	f()
}

// openNotify makes a run's socket, in place of that of a keeper that is no more. Every user of the container may write to it. What is in the directory may be the
// work of a container that can mount: nothing there is followed.
func openNotify(dir string) (_ *os.File, err error) {
	path := filepath.Join(dir, NotifyDir, NotifySocket)
	place, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(place)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := bindNotify(fd, place); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	return f, nil
}

// bindNotify gives a socket its name, in one rename: there is always one to connect to.
func bindNotify(socket, place int) error {
	const next = NotifySocket + ".new"
	if err := unix.Unlinkat(place, next, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", place, next)}); err != nil {
		return err
	}
	handle, err := unix.Openat(place, next, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(handle)
	var st unix.Stat_t
	if err := unix.Fstat(handle, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.Join(unix.ENOTSOCK, err)
	}
	if err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", handle), 0o666); err != nil {
		return err
	}
	return unix.Renameat(place, next, place, NotifySocket)
}
