package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end of a connection, as the kernel recorded it when they connected: unix(7), SO_PEERCRED.
type Peer struct {
	Pid      int32
	UID, GID uint32
	Groups   []uint32 // supplementary groups, SO_PEERGROUPS
	Allowed  bool     // to use the API, decided once per connection
}

// mayUse tells whether the peer may use the API: root, the agent's own user, members of the group.
func (p Peer) mayUse() bool {
	if p.UID == 0 || int(p.UID) == os.Geteuid() {
		return true
	}
	gid, ok := groupID()
	return ok && (p.GID == gid || slices.Contains(p.Groups, gid))
}

type peerKey struct{}

// withPeer is http.Server.ConnContext: it asks once per connection.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	peer, err := peerOf(conn)
	if err != nil {
		return ctx
	}
	peer.Allowed = peer.mayUse()
	return context.WithValue(ctx, peerKey{}, peer)
}

// checkPeer refuses requests of strangers, and of connections whose peer is not known.
func checkPeer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, known := r.Context().Value(peerKey{}).(Peer)
		if !known || !peer.Allowed {
			writeError(w, &Error{
				Reason:  ReasonForbidden,
				Message: fmt.Sprintf("user %d may not use this socket", peer.UID),
				Text:    "use root, or join the group " + Group,
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func peerOf(conn net.Conn) (peer Peer, err error) {
	if l, ok := conn.(*limitedConn); ok {
		conn = l.Conn
	}
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
