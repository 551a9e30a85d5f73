// Package journal talks to systemd's journal: it writes entries in the journal's own protocol, moves the output of containers there from their logs, and
// has journalctl read it back. It knows fields and lines; it refuses to know manifests, and nobody who writes waits for it longer than he says.
package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is where journald listens, see systemd-journald.service(8).
const Socket = "/run/systemd/journal/socket"

// Listens tells whether the node has a journal.
func Listens() bool {
	_, err := os.Stat(Socket)
	return err == nil
}

// sendBuffer is what the kernel may hold of ours until journald takes it, as sd_journal_send(3) has it.
const sendBuffer = 8 << 20

// The priorities of syslog(3) that are in use here.
const (
	PriorityError   = "3"
	PriorityWarning = "4"
	PriorityNotice  = "5"
	PriorityInfo    = "6"
	PriorityDebug   = "7"
)

// Field is a field of an entry. Its name has capitals, digits and underscores, and begins with a letter, see systemd.journal-fields(7).
type Field struct{ Name, Value string }

// Append adds a field to an entry as the protocol has it: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
func Append(entry []byte, name string, value []byte) []byte {
	entry = append(entry, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		entry = append(entry, '=')
	} else {
		entry = append(entry, '\n')
		entry = binary.LittleEndian.AppendUint64(entry, uint64(len(value)))
	}
	return append(append(entry, value...), '\n')
}

// AppendFields adds fields; those without a value are left out.
func AppendFields(entry []byte, fields ...Field) []byte {
	for _, f := range fields {
		if f.Value != "" {
			entry = Append(entry, f.Name, []byte(f.Value))
		}
	}
	return entry
}

// FieldName makes a name of a field of a key in camelCase: RECONCILER_LOG_DIR of logDir.
func FieldName(prefix, key string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for i, r := range key {
		switch {
		case r >= 'A' && r <= 'Z':
			if i > 0 {
				b.WriteByte('_')
			}
			b.WriteRune(r)
		case r >= 'a' && r <= 'z':
			b.WriteRune(r - 'a' + 'A')
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// Conn is a connection to a journal, made when it is needed and anew when the journal is another. Many may use it.
type Conn struct {
	path string

	mu   sync.Mutex
	conn *net.UnixConn
}

// Dial gives a connection to the journal that listens there.
func Dial(path string) *Conn { return &Conn{path: path} }

// Close ends it; a later Send connects anew.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Send writes an entry, for which it waits at most so long while the journal is busy: then the error is os.ErrDeadlineExceeded.
func (c *Conn) Send(entry []byte, patience time.Duration) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(patience)) // of a socket that is open
	_, err = conn.Write(entry)
	switch {
	case errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ENOBUFS):
		return sendFile(conn, entry)
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		c.Close() // it is another journal's, or nobody's
	}
	return err
}

// connect gives the connection.
func (c *Conn) connect() (*net.UnixConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return c.conn, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: c.path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // a smaller buffer does as well
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
			}
		})
	}
	c.conn = conn
	return conn, nil
}

// sendFile sends an entry that is too large for a datagram as a sealed file in memory.
func sendFile(conn *net.UnixConn, entry []byte) error {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "journal-entry")
	defer f.Close()
	if _, err := f.Write(entry); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	raw, err := conn.SyscallConn() // as UnixConn sends no rights on a datagram socket that is connected
	if err != nil {
		return err
	}
	failed := raw.Write(func(to uintptr) bool {
		err = unix.Sendmsg(int(to), nil, unix.UnixRights(fd), nil, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}
