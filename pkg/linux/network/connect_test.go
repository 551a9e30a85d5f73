package network_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// listenIn listens at a port of the kernel's choice in a namespace. Who listens in it accepts one connection at most, and that by hand.
func listenIn(t *testing.T, ns *os.File, addr string) (fd int, at netip.AddrPort) {
	t.Helper()
	ip := netip.MustParseAddr(addr)
	err := netlink.Inside(ns, func() (err error) {
		var sa unix.Sockaddr = &unix.SockaddrInet4{Addr: netip.MustParseAddr("127.0.0.1").As4()}
		family := unix.AF_INET
		if ip.Is6() {
			family, sa = unix.AF_INET6, &unix.SockaddrInet6{Addr: ip.As16()}
		}
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.Bind(fd, sa), unix.Listen(fd, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return fd, netip.AddrPortFrom(ip, uint16(sa.Port))
	case *unix.SockaddrInet6:
		return fd, netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	panic(sa)
}

// A connection into a namespace finds who listens there, of both families, and carries what is said; nobody outside does. Neither descriptors nor
// threads stay behind, whatever comes of it.
func TestConnect(t *testing.T) {
	needNamespaces(t)
	s, err := network.Make(spec.NetworkPrivate)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fd, at := listenIn(t, s.Net, "127.0.0.1")
	_, six := listenIn(t, s.Net, "::1")
	before, home := descriptors(t), threads(t)
	conn, err := network.Connect(t.Context(), s.Net, at)
	if err != nil {
		t.Fatal(err)
	}
	peer, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	heard := make([]byte, 8)
	if n, err := unix.Read(peer, heard); err != nil || string(heard[:n]) != "hello" {
		t.Errorf("heard %q, %v", heard[:n], err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(heard); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading from who is silent: %v", err)
	}
	_ = conn.Close()
	_ = unix.Close(peer)
	if conn, err := network.Connect(t.Context(), s.Net, six); err != nil {
		t.Error(err)
	} else {
		_ = conn.Close()
	}
	var failed *net.OpError
	if _, err := network.Connect(t.Context(), nil, at); !errors.Is(err, unix.ECONNREFUSED) || !errors.As(err, &failed) || failed.Addr.String() != at.String() {
		t.Errorf("outside: %v", err)
	}
	if _, err := network.Connect(t.Context(), s.Net, netip.MustParseAddrPort("192.0.2.1:80")); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("no way: %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if now := threads(t); now != home {
		t.Errorf("threads are in\n%s\nand were in\n%s", now, home)
	}
}

// Who does not answer is waited for until the end of the context, and not longer.
func TestConnectHangs(t *testing.T) {
	_, at := listenIn(t, nil, "127.0.0.1")
	before := descriptors(t)
	for range 8 { // a queue of length 0 takes one, and the kernel drops what comes then
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		conn, err := network.Connect(ctx, nil, at)
		cancel()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if after := descriptors(t); after > before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
			return
		}
		defer conn.Close()
		before++
	}
	t.Error("the queue never was full")
}

// What is no address in digits is refused before anything is opened.
func TestAddress(t *testing.T) {
	for _, good := range [][2]string{{"tcp", "127.0.0.1:80"}, {"tcp", "[::1]:80"}, {"tcp4", "127.0.0.1:80"}, {"tcp6", "[::1]:65535"}, {"tcp4", "[::ffff:127.0.0.1]:80"}} {
		if _, err := network.Address(good[0], good[1]); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][2]string{
		{"tcp", ""},
		{"tcp", "web:80"},
		{"tcp", "127.0.0.1"},
		{"tcp", "127.0.0.1:0"},
		{"tcp", "[fe80::1%lo]:80"},
		{"udp", "127.0.0.1:80"},
		{"tcp4", "[::1]:80"},
		{"tcp6", "127.0.0.1:80"},
		{"unix", "/run/x.sock"},
		{"", "127.0.0.1:80"},
		{"tcp", "127.0.0.1:http"},
	} {
		if at, err := network.Address(bad[0], bad[1]); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%v is %v, %v", bad, at, err)
		}
	}
}
