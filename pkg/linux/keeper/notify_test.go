package keeper_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// notifying starts a script that has a socket.
func (n *node) notifying(name, script string, said spec.Notified) (keeper.StartRequest, keeper.Started) {
	n.t.Helper()
	r := n.request(name, 1, script)
	if err := os.MkdirAll(filepath.Join(r.Dir, keeper.NotifyDir), 0o755); err != nil {
		n.t.Fatal(err)
	}
	r.Notify = said
	r.Notify.Socket = true
	s, err := n.client.Start(n.t.Context(), r)
	if err != nil {
		n.t.Fatal(err)
	}
	return r, s
}

// notify says something in a run's place, as who is in its mount namespace does.
func notify(r keeper.StartRequest, message string, fds ...int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	return unix.Sendmsg(fd, []byte(message), rights, &unix.SockaddrUnix{Name: socketOf(r)}, 0)
}

func socketOf(r keeper.StartRequest) string {
	return filepath.Join(r.Dir, keeper.NotifyDir, keeper.NotifySocket)
}

func (n *node) notify(r keeper.StartRequest, message string, fds ...int) {
	n.t.Helper()
	if err := notify(r, message, fds...); err != nil {
		n.t.Fatal(err)
	}
}

// hears waits until a run is known to have said something.
func (n *node) hears(r keeper.StartRequest, starts int, want spec.Notified) {
	n.t.Helper()
	want.Socket = true
	var got keeper.Notified
	n.eventually(fmt.Sprintf("word %+v of %s", want, r.Name), func() bool {
		got = keeper.Notified{}
		text, err := os.ReadFile(filepath.Join(r.Dir, keeper.NotifyFile))
		return err == nil && json.Unmarshal(text, &got) == nil && got == keeper.Notified{Notified: want, Starts: starts}
	})
}

var isReady = spec.Notified{Started: true, Ready: true}

func said(n spec.Notified, status string) spec.Notified {
	n.Status = status
	return n
}

// What a run says is kept, whichever keeper hears it, and told of; the next run begins with what it is given.
func TestNotify(t *testing.T) {
	n := newNode(t)
	events, err := n.client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, s := n.notifying("web", "exec sleep 1000", spec.Notified{})
	if s.Notify != (spec.Notified{Socket: true}) {
		t.Errorf("started with %+v", s.Notify)
	}
	n.notify(r, "STATUS=one moment")
	n.hears(r, 1, said(spec.Notified{}, "one moment"))
	if e := <-events; e != (keeper.Event{Key: r.Key, Kind: spec.EventNotify}) {
		t.Errorf("event %+v", e)
	}
	n.notify(r, "READY=1\nSTATUS=here I am")
	n.hears(r, 1, said(isReady, "here I am"))

	old := inode(t, socketOf(r))
	exe := build(t)
	if err := n.client.Upgrade(t.Context(), exe); err != nil {
		t.Fatal(err)
	}
	if inode(t, socketOf(r)) != old {
		t.Error("an upgrade made another socket")
	}
	n.notify(r, "RELOADING=1")
	n.hears(r, 1, said(spec.Notified{Started: true}, "here I am"))

	n.killKeeper()
	if err := notify(r, "READY=1"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("without a keeper: %v", err)
	}
	n.client = n.ensure()
	n.settled()
	n.hears(r, 1, said(spec.Notified{Started: true}, "here I am"))
	n.notify(r, "READY=1")
	n.hears(r, 1, said(isReady, "here I am"))

	if err := n.client.Kill(t.Context(), r.Key, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	n.exit(r, s)
	if err := notify(r, "READY=1"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("to who has ended: %v", err)
	}
	r, s = n.notifying("web", "exec sleep 1000", said(isReady, "from an image"))
	if s.Starts != 2 || s.Notify != (spec.Notified{Socket: true, Started: true, Ready: true, Status: "from an image"}) {
		t.Errorf("started again: %+v", s)
	}
	n.notify(r, "STOPPING=1")
	n.hears(r, 2, said(spec.Notified{Started: true}, "from an image"))
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode != unix.S_IFSOCK|0o666 {
		t.Errorf("mode of %s is %o", path, st.Mode)
	}
	return st.Ino
}

// What is said in the moment between two keepers is not lost once it was taken, and the keeper that comes first finds what a killed one left.
func TestNotifyBetweenKeepers(t *testing.T) {
	n := newNode(t)
	r, s := n.notifying("web", "exec sleep 1000", spec.Notified{})
	exe := build(t)
	done := make(chan struct{})
	var sent int
	go func() {
		defer close(done)
		for sent = 1; sent <= 200; sent++ {
			if err := notify(r, fmt.Sprintf("STATUS=%d", sent)); err != nil {
				t.Errorf("message %d: %v", sent, err)
				return
			}
		}
	}()
	for range 2 {
		if err := n.client.Upgrade(t.Context(), exe); err != nil {
			t.Error(err)
		}
	}
	<-done
	n.hears(r, 1, spec.Notified{Status: "200"})
	left := socketOf(r) + ".new"
	n.killKeeper()
	for _, spoil := range []func() error{
		func() error { return os.Symlink("/etc/passwd", left) },
		func() error {
			return errors.Join(os.Remove(socketOf(r)), os.Symlink("/etc/passwd", socketOf(r)))
		},
		func() error { return os.Remove(socketOf(r)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		n.client = n.ensure()
		n.settled()
		inode(t, socketOf(r))
		n.notify(r, "READY=1")
		n.hears(r, 1, said(isReady, "200"))
		n.killKeeper()
	}
	// What cannot be replaced is left: the run goes on unheard, and is no worse kept for it.
	if err := errors.Join(os.Remove(socketOf(r)), os.MkdirAll(filepath.Join(socketOf(r), "x"), 0o755), os.MkdirAll(filepath.Join(left, "x"), 0o755)); err != nil {
		t.Fatal(err)
	}
	n.client = n.ensure()
	n.eventually("complaint", func() bool { return strings.Contains(n.says(), "readiness is not heard") })
	if err := n.client.Kill(t.Context(), r.Key, "SIGKILL"); err != nil {
		t.Error(err)
	}
	n.exit(r, s)
	if st, err := os.Stat("/etc/passwd"); err != nil || st.Mode() != 0o644 {
		t.Errorf("a link was followed: %v, %v", st.Mode(), err)
	}
}

// Nothing that is sent kills the keeper, or stays with it.
func TestNotifyHostile(t *testing.T) {
	n := newNode(t)
	r, _ := n.notifying("web", "exec sleep 1000", spec.Notified{})
	n.notify(r, "STATUS=first")
	n.hears(r, 1, spec.Notified{Status: "first"})
	before := n.settled()
	for _, message := range []string{
		"", "\x00", "=\n=\n", strings.Repeat("\n", 64<<10), strings.Repeat("STATUS=\xff\n", 6<<10), "READY=1\n" + strings.Repeat("x", 64<<10), "READY=1\n" + strings.Repeat("x", 190<<10),
	} {
		n.notify(r, message)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	many := make([]int, 253)
	for i := range many {
		many[i] = int(null.Fd())
	}
	for range 20 {
		n.notify(r, "BARRIER=1", many...)
	}
	n.notify(r, "STATUS=last")
	n.hears(r, 1, spec.Notified{Status: "last"})
	if after := n.settled(); after != before {
		t.Errorf("the keeper has %d descriptors, had %d", after, before)
	}
}

// build is a successor for the keeper.
func build(t testing.TB) *os.File {
	t.Helper()
	exe, err := keeper.Sealed("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exe.Close() })
	return exe
}

// The last close of a socket that lingers waits for its peer, for ever if the sender likes. It does not keep the keeper.
func TestNotifyLinger(t *testing.T) {
	n := newNode(t)
	other, _ := n.notifying("other", "exec sleep 1000", spec.Notified{})
	r, s := n.notifying("web", "exec sleep 1000", spec.Notified{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	linger := func(r keeper.StartRequest) {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := listener.Accept() // that reads nothing
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { peer.Close() })
		f, err := conn.(*net.TCPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		fill(t, f)
		if err := unix.SetsockoptLinger(int(f.Fd()), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 30000}); err != nil {
			t.Fatal(err)
		}
		// The keeper is to have the last one: who has it waits.
		pid := n.keeperPid()
		unix.Kill(pid, unix.SIGSTOP)
		defer unix.Kill(pid, unix.SIGCONT)
		n.notify(r, "STATUS=lingers", int(f.Fd()))
		f.Close()
		conn.Close()
	}
	for range 4 {
		linger(r)
	}
	n.hears(r, 1, spec.Notified{Status: "lingers"})
	n.notify(other, "READY=1")
	n.hears(other, 1, isReady)
	if err := n.client.Upgrade(t.Context(), build(t)); err != nil { // waits for whoever is being heard
		t.Error(err)
	}
	linger(r)
	if err := n.client.Kill(t.Context(), r.Key, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	n.exit(r, s)
}

// fill writes until there is no room.
func fill(t testing.TB, f *os.File) {
	t.Helper()
	chunk := make([]byte, 64<<10)
	for {
		_, err := unix.SendmsgN(int(f.Fd()), chunk, nil, nil, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Floods are heard now and then: others are heard at once, and what the keeper spends is in the test's log.
func TestNotifyFlood(t *testing.T) {
	n := newNode(t)
	other, _ := n.notifying("other", "exec sleep 1000", spec.Notified{})
	const flooders = 4
	pid := n.keeperPid()
	stop := make(chan struct{})
	var flood sync.WaitGroup
	var sent [flooders]int
	var floods [flooders]keeper.StartRequest
	for i := range flooders {
		floods[i], _ = n.notifying(fmt.Sprint("flood", i), "exec sleep 1000", spec.Notified{})
		addr := &net.UnixAddr{Name: socketOf(floods[i]), Net: "unixgram"}
		conn, err := net.DialUnix("unixgram", nil, addr)
		if err != nil {
			t.Fatal(err)
		}
		flood.Go(func() {
			defer conn.Close()
			big := strings.Repeat("\n", 60<<10)
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				if _, err := conn.Write([]byte(fmt.Sprintf("STATUS=%d\nREADY=%d%s", sent[i], 1+sent[i]%2, big))); err == nil {
					sent[i]++
				}
			}
		})
	}
	used, began, memory := ticks(t, pid), time.Now(), resident(t, pid)
	for i := range 20 {
		time.Sleep(100 * time.Millisecond)
		n.notify(other, fmt.Sprintf("STATUS=%d", i))
	}
	n.hears(other, 1, spec.Notified{Status: "19"})
	cpu := time.Duration(ticks(t, pid)-used) * 10 * time.Millisecond
	t.Logf("%d floods of 60 KiB for %v: %v messages taken, %v of the keeper's CPU, %d KiB resident after %d", flooders, time.Since(began).Round(time.Millisecond), sent, cpu, resident(t, pid), memory)
	close(stop)
	flood.Wait()
	for _, r := range floods {
		n.notify(r, "STATUS=done")
		n.eventually("the end of a flood", func() bool {
			text, _ := os.ReadFile(filepath.Join(r.Dir, keeper.NotifyFile))
			return strings.Contains(string(text), `"status":"done"`)
		})
	}
}

// ticks are what a process has used of the processors; see proc_pid_stat(5).
func ticks(t testing.TB, pid int) (used int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	var user, system int
	fmt.Sscan(fields[11], &user)
	fmt.Sscan(fields[12], &system)
	return user + system
}

func resident(t testing.TB, pid int) (kib int) {
	t.Helper()
	text, err := process.ReadField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscan(text, &kib)
	return kib
}
