package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	parts["eventfd"] = eventfd
	parts["timerfd"] = timerfd
	parts["signalfd"] = signalfd
	parts["inotify"] = inotify
	parts["memfd"] = memfd
	parts["pty"] = pty
	parts["pidfd"] = pidfd
}

// eventfd counts, and an epoll watches it.
func eventfd(string) func() error {
	fd := got[int]("eventfd")(unix.Eventfd(7, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC))
	ep := got[int]("epoll")(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	must("epoll", unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: 4711, Pad: 815}))
	return func() error {
		events := make([]unix.EpollEvent, 4)
		n, err := unix.EpollWait(ep, events, 10000)
		if err != nil || n != 1 {
			return fmt.Errorf("%d events, %v", n, err)
		}
		text := make([]byte, 8)
		_, err = unix.Read(fd, text)
		_, err2 := unix.Write(fd, text)
		return errors.Join(err, err2, want("data", events[0].Fd, 4711), want("data", events[0].Pad, 815), want("count", binary.NativeEndian.Uint64(text), 7))
	}
}

// timerfd has one that is far from due, and one that comes again and again.
func timerfd(string) func() error {
	far := got[int]("timerfd")(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC))
	must("settime", unix.TimerfdSettime(far, 0, &unix.ItimerSpec{Value: unix.Timespec{Sec: 3600}}, nil))
	again := got[int]("timerfd")(unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC))
	often := unix.NsecToTimespec(int64(5 * time.Millisecond))
	must("settime", unix.TimerfdSettime(again, 0, &unix.ItimerSpec{Value: often, Interval: often}, nil))
	left := int64(3600)
	return func() error {
		var now unix.ItimerSpec
		err := unix.TimerfdGettime(far, &now)
		_, early := unix.Read(far, make([]byte, 8))
		_, err2 := unix.Read(again, make([]byte, 8))
		before := left
		left = now.Value.Sec
		return errors.Join(err, err2, want("far one is due", errors.Is(early, unix.EAGAIN), true), want("far one goes on", left <= before && left > 1800, true))
	}
}

// signalfd has a signal that waits for its thread.
func signalfd(string) func() error {
	ask, answer := make(chan bool), make(chan error)
	go func() {
		runtime.LockOSThread()
		var set unix.Sigset_t
		set.Val[0] = 1 << (unix.SIGUSR2 - 1)
		must("sigmask", unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
		fd := got[int]("signalfd")(unix.Signalfd(-1, &set, unix.SFD_NONBLOCK|unix.SFD_CLOEXEC))
		raise := func() { must("kill", unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR2)) }
		raise()
		for {
			answer <- nil
			<-ask
			info := make([]byte, 128)
			_, err := unix.Read(fd, info)
			raise()
			answer <- errors.Join(err, want("signal", binary.NativeEndian.Uint32(info), uint32(unix.SIGUSR2)))
		}
	}()
	<-answer
	return func() error {
		ask <- true
		err := <-answer
		<-answer
		return err
	}
}

// inotify watches a directory and a file.
func inotify(string) func() error {
	must("mkdir", os.MkdirAll("/tmp/watched", 0o755))
	must("write", os.WriteFile("/tmp/watched-file", nil, 0o600))
	fd := got[int]("inotify")(unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK))
	_, err := unix.InotifyAddWatch(fd, "/tmp/watched", unix.IN_CREATE)
	must("watch", err)
	_, err = unix.InotifyAddWatch(fd, "/tmp/watched-file", unix.IN_MODIFY)
	must("watch", err)
	round := 0
	return func() error {
		round++
		name := fmt.Sprintf("round%d", round)
		_ = os.Remove("/tmp/watched/" + name)
		err := errors.Join(os.WriteFile("/tmp/watched/"+name, nil, 0o600), os.WriteFile("/tmp/watched-file", []byte(name), 0o600))
		if err != nil {
			return err
		}
		seen := ""
		if !within(func() bool {
			text := make([]byte, 4096)
			if n, err := unix.Read(fd, text); err == nil {
				seen += string(text[:n])
			}
			return strings.Contains(seen, name) && strings.Contains(seen, "\x02\x00\x00\x00\x02\x00\x00\x00")
		}) {
			return fmt.Errorf("events are missing: %q", seen)
		}
		return nil
	}
}

// memfd has memory with a name, sealed.
func memfd(string) func() error {
	fd := got[int]("memfd")(unix.MemfdCreate("mine", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))
	_, err := unix.Write(fd, []byte("in memory"))
	must("write", err)
	data := got[[]byte]("mmap")(unix.Mmap(fd, 0, 9, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	const seals = unix.F_SEAL_GROW | unix.F_SEAL_SHRINK
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	must("seal", err)
	return func() error {
		sealed, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
		data[0]++
		text := make([]byte, 9)
		_, err2 := unix.Pread(fd, text, 0)
		data[0]--
		return errors.Join(err, err2, want("seals", sealed, seals), want("text", string(text), "jn memory"), want("mapped", string(data), "in memory"))
	}
}

// pty has both ends of a terminal.
func pty(string) func() error {
	master := got[int]("ptmx")(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0))
	must("unlock", unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0))
	n := got[int]("number")(unix.IoctlGetInt(master, unix.TIOCGPTN))
	slave := got[int]("slave")(unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0))
	must("size", unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Row: 11, Col: 22}))
	return func() error {
		size, err := unix.IoctlGetWinsize(slave, unix.TIOCGWINSZ)
		if err != nil {
			return err
		}
		_, err = unix.Write(slave, []byte("hello"))
		text := make([]byte, 10)
		k, err2 := unix.Read(master, text)
		again, err3 := unix.IoctlGetInt(master, unix.TIOCGPTN)
		return errors.Join(err, err2, err3, want("said", string(text[:k]), "hello"), want("number", again, n), want("size", fmt.Sprint(size.Row, size.Col), "11 22"))
	}
}

// pidfd has one of itself.
func pidfd(string) func() error {
	fd := got[int]("pidfd")(unix.PidfdOpen(os.Getpid(), 0))
	return func() error { return unix.PidfdSendSignal(fd, 0, nil, 0) }
}
