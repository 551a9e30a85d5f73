package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end of a connection, as the kernel recorded it when they connected: unix(7), SO_PEERCRED.
type Peer struct {
	Pid      int32
	UID, GID uint32
	Groups   []uint32 // supplementary groups, SO_PEERGROUPS
	Role     Role
	decided  *Grants // by which the role was; nil: by who serves Handler elsewhere
	// Address is where others than those on the socket call, of whom the kernel says nothing: what they lack is told of it, and not of a user.
	Address string
}

func (p Peer) memberOf(gid uint32) bool { return p.GID == gid || slices.Contains(p.Groups, gid) }

// name is the user's number, with its name where this node knows one.
func (p Peer) name() string {
	id := strconv.FormatUint(uint64(p.UID), 10)
	if u, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("user %s (%s)", id, u.Username)
	}
	return "user " + id
}

// refused tells what a caller would need for something, and how it gets that.
func (p Peer) refused(needed Role, what string) *Error {
	if p.Address != "" {
		return &Error{
			Reason:  ReasonForbidden,
			Message: fmt.Sprintf("%s needs the role %s, and who calls at %s has the role %s", what, needed, p.Address, p.Role),
			Text:    "use the agent's socket",
		}
	}
	return &Error{
		Reason:  ReasonForbidden,
		Message: fmt.Sprintf("%s needs the role %s, and %s has the role %s", what, needed, p.name(), p.Role),
		Text:    fmt.Sprintf("use root, or have the agent run with --grant %s=uid:%d (or group:NAME)", needed, p.UID),
	}
}

type peerKey struct{}

// WithPeer says who calls, for a server that serves Handler elsewhere than Serve does. Its http.Server calls it as ConnContext, or for each request.
func WithPeer(ctx context.Context, peer Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, peer)
}

// connPeer is http.Server.ConnContext: the listener has asked already.
func connPeer(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*limitedConn); ok {
		return WithPeer(ctx, c.peer)
	}
	return ctx
}

// callerOf is who sent a request; the zero value, which may do nothing, when nobody knows.
func callerOf(r *http.Request) Peer {
	peer, _ := r.Context().Value(peerKey{}).(Peer)
	return peer
}

// checkPeer refuses requests of those without any role, and of connections whose peer is not known.
func checkPeer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer := callerOf(r); peer.Role == None {
			w.Header().Set("Connection", "close")
			writeError(w, peer.refused(Read, "this socket"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func peerOf(conn net.Conn) (peer Peer, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return peer, fmt.Errorf("%T is no unix socket", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return peer, err
	}
	if ctlErr := raw.Control(func(fd uintptr) { peer, err = peerOfSocket(int(fd)) }); ctlErr != nil {
		return peer, ctlErr
	}
	return peer, err
}

func peerOfSocket(fd int) (Peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	groups, err := peerGroups(fd)
	return Peer{Pid: cred.Pid, UID: cred.Uid, GID: cred.Gid, Groups: groups}, err
}

// peerGroups reads SO_PEERGROUPS (Linux 4.13); the kernel answers ERANGE with the size it needs.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(4 * len(groups))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4], nil
		case unix.ERANGE:
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}
