package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Connect opens a TCP connection from inside a network namespace: ns is a file of one, or a pidfd, whose process's is meant, see setns(2);
// nil is the process's own. ctx bounds the opening alone.
//
// A socket belongs to the namespace it was made in for good, so a thread is inside only for as long as it takes to make it.
func Connect(ctx context.Context, ns *os.File, to netip.AddrPort) (net.Conn, error) {
	addr := net.TCPAddrFromAddrPort(to)
	failed := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: err}
	}
	socket, err := newSocket(ns, to.Addr())
	if err != nil {
		return nil, failed(err)
	}
	defer socket.Close()
	if err := connect(ctx, socket, to); err != nil {
		return nil, failed(err)
	}
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, failed(err)
	}
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		// Nobody listens there, and the kernel took the very port for our end: TCP's simultaneous open, of a socket with itself.
		return nil, failed(errors.Join(os.NewSyscallError("connect", unix.ECONNREFUSED), conn.Close()))
	}
	return conn, nil
}

// newSocket makes a socket in a namespace. It does not block, and no program that is executed gets it.
func newSocket(ns *os.File, addr netip.Addr) (*os.File, error) {
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	var fd int
	err := netlink.Inside(ns, func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tcp"), nil
}

// connect connects a socket and waits until that has come about, or the end of ctx.
func connect(ctx context.Context, socket *os.File, to netip.AddrPort) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	begun := false
	var state error
	err = raw.Write(func(fd uintptr) (done bool) {
		if begun {
			state = connected(int(fd))
		} else {
			begun, state = true, unix.Connect(int(fd), sockaddr(to))
		}
		return state != unix.EINPROGRESS && state != unix.EINTR
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	return os.NewSyscallError("connect", state)
}

// connected tells what has become of a connect that was under way. The first wake may be of the time before it, when a socket is not connected
// and so hung up: only a peer proves that there is a connection. See connect(2), at EINPROGRESS.
func connected(fd int) error {
	failure, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if failure != 0 {
		return unix.Errno(failure)
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return unix.EINPROGRESS
	}
	return nil
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
}

// Address reads an address and port in digits, for a network of TCP: tcp, tcp4 or tcp6. Anything else is fs.ErrInvalid: names are not looked up.
func Address(network, address string) (netip.AddrPort, error) {
	to, err := netip.ParseAddrPort(address)
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	switch {
	case err != nil:
		return to, fmt.Errorf("%q is not an address and a port in digits: %w", address, fs.ErrInvalid)
	case to.Port() == 0 || to.Addr().Zone() != "":
		return to, fmt.Errorf("nobody listens at %s: %w", address, fs.ErrInvalid)
	case network == "tcp", network == "tcp4" && to.Addr().Is4(), network == "tcp6" && to.Addr().Is6():
		return to, nil
	}
	return to, fmt.Errorf("%s is no address of network %q: %w", address, network, fs.ErrInvalid)
}
