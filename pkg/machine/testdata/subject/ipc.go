package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	parts["sysv"] = sysv
	parts["devshm"] = devshm
	parts["unix"] = unixSockets
	parts["tcp"] = tcp
	parts["udp"] = udp
}

// message is a struct msgbuf.
type message struct {
	kind int64
	text [16]byte
}

// sysv has one of each of System V's.
func sysv(string) func() error {
	const key = 0x4711
	shm := got[int]("shmget")(unix.SysvShmGet(key, 8192, unix.IPC_CREAT|0o640))
	data := got[[]byte]("shmat")(unix.SysvShmAttach(shm, 0, 0))
	copy(data[4096:], "shared")
	sem, _, errno := unix.Syscall(unix.SYS_SEMGET, key, 3, unix.IPC_CREAT|0o600)
	call("semget", errno)
	const setVal, getVal = 16, 12 // linux/sem.h
	_, _, errno = unix.Syscall6(unix.SYS_SEMCTL, sem, 1, setVal, 42, 0, 0)
	call("semctl", errno)
	queue, _, errno := unix.Syscall(unix.SYS_MSGGET, key, unix.IPC_CREAT|0o600, 0)
	call("msgget", errno)
	send := func(m *message) unix.Errno {
		_, _, errno := unix.Syscall6(unix.SYS_MSGSND, queue, uintptr(unsafe.Pointer(m)), 16, 0, 0, 0)
		return errno
	}
	first := message{kind: 3}
	copy(first.text[:], "queued message!!")
	call("msgsnd", send(&first))
	return func() error {
		again, err := unix.SysvShmGet(key, 8192, 0)
		var desc unix.SysvShmDesc
		_, err2 := unix.SysvShmCtl(again, unix.IPC_STAT, &desc)
		value, _, errno := unix.Syscall6(unix.SYS_SEMCTL, sem, 1, getVal, 0, 0, 0)
		var m message
		_, _, errno2 := unix.Syscall6(unix.SYS_MSGRCV, queue, uintptr(unsafe.Pointer(&m)), 16, 0, unix.IPC_NOWAIT, 0)
		errno3 := send(&first)
		for _, e := range []unix.Errno{errno, errno2, errno3} {
			if e != 0 {
				err = errors.Join(err, e)
			}
		}
		return errors.Join(err, err2, want("segment", again, shm), want("shared", string(data[4096:4102]), "shared"), want("semaphore", value, 42), want("message", string(m.text[:]), "queued message!!"),
			want("kind", m.kind, 3), want("mode", desc.Perm.Mode&0o777, 0o640), want("attached", desc.Nattch, 1))
	}
}

func call(what string, errno unix.Errno) {
	if errno != 0 {
		fatal("%s: %v", what, errno)
	}
}

// devshm maps a file in /dev/shm.
func devshm(string) func() error {
	f := got[*os.File]("create")(os.Create("/dev/shm/mine"))
	must("size", f.Truncate(8192))
	data := got[[]byte]("mmap")(unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	copy(data[5000:], "shared")
	round := byte(0)
	return func() error {
		round++
		data[6000] = round
		text, err := os.ReadFile("/dev/shm/mine")
		if err != nil {
			return err
		}
		return errors.Join(want("text", string(text[5000:5006]), "shared"), want("mapped", text[6000], round))
	}
}

// unixSockets has pairs with something on the way, datagrams, and listens at paths.
func unixSockets(string) func() error {
	pair := got[[2]int]("socketpair")(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	packets := got[[2]int]("socketpair")(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	for _, fd := range []int{pair[0], packets[0]} {
		_, err := unix.Write(fd, []byte("on the way"))
		must("write", err)
	}
	places := []string{"/tmp/stream.sock"}
	if os.Getuid() == 0 {
		places = append(places, "/stream.sock", "/run.sock")
	}
	for _, place := range append(places, "@abstract") {
		_ = os.Remove(place)
		l := got[net.Listener]("listen")(net.Listen("unix", place))
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, c) }()
			}
		}()
	}
	conns := map[string]net.Conn{}
	for _, place := range append(places, "@abstract") {
		conns[place] = got[net.Conn]("dial")(net.Dial("unix", place))
	}
	_ = os.Remove("/tmp/dgram.sock")
	dgram := got[*net.UnixConn]("listen")(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/tmp/dgram.sock", Net: "unixgram"}))
	return func() error {
		var errs []error
		for _, p := range [][2]int{pair, packets} {
			text := make([]byte, 100)
			n, err := unix.Read(p[1], text)
			if err == nil {
				_, err = unix.Write(p[0], text[:n])
			}
			errs = append(errs, err, want("on the way", string(text[:max(n, 0)]), "on the way"))
		}
		for place, c := range conns {
			errs = append(errs, echo(c, "old "+place))
			fresh, err := net.Dial("unix", place)
			if err == nil {
				err = echo(fresh, "new "+place)
				fresh.Close()
			}
			errs = append(errs, err)
		}
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: "/tmp/dgram.sock", Net: "unixgram"})
		if err == nil {
			_, err = c.Write([]byte("datagram"))
			c.Close()
		}
		text := make([]byte, 20)
		_ = dgram.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err2 := dgram.Read(text)
		return errors.Join(append(errs, err, err2, want("datagram", string(text[:n]), "datagram"))...)
	}
}

// echo says something and hears it again.
func echo(c net.Conn, text string) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(c, back); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return want("echo", string(back), text)
}

// tcp listens on the loopback and is connected to itself.
func tcp(string) func() error {
	var all []func() error
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil && address[0] == '[' {
			continue // the kernel has no IPv6
		}
		must("listen", err)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, c) }()
			}
		}()
		c := got[net.Conn]("dial")(net.Dial("tcp", l.Addr().String()))
		must("echo", echo(c, "first"))
		all = append(all, func() error {
			fresh, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				return err
			}
			defer fresh.Close()
			return errors.Join(echo(c, "old"), echo(fresh, "new"))
		})
	}
	return func() error {
		var errs []error
		for _, check := range all {
			errs = append(errs, check())
		}
		return errors.Join(errs...)
	}
}

// udp has a bound and a connected socket.
func udp(string) func() error {
	s := got[net.PacketConn]("listen")(net.ListenPacket("udp", "127.0.0.1:0"))
	c := got[net.Conn]("dial")(net.Dial("udp", s.LocalAddr().String()))
	return func() error {
		_, err := c.Write([]byte("packet"))
		text := make([]byte, 20)
		_ = s.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, from, err2 := s.ReadFrom(text)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return errors.Join(want("packet", string(text[:n]), "packet"), want("from", from.String(), c.LocalAddr().String()))
	}
}
