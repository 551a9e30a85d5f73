package keeper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A frame on the socket is, in little-endian order, the lengths of header and body and the number of files, four
// bytes each; the header in JSON; the body, a program; then one byte for every maxRights files, which carries
// them (unix(7), SCM_RIGHTS). The client sends requests, the keeper answers each with one response, except
// that a subscriber gets responses until it hangs up.

// protocol is the version of the requests. hello and upgrade are understood across versions.
const protocol = 2

// Bounds of a frame: what is longer is refused before it is read.
const (
	maxHeader = 4 << 20
	maxBody   = 16 << 20
	maxFiles  = 2048
	maxRights = 253 // SCM_MAX_FD
)

// The verbs of a request.
const (
	verbHello   = "hello"
	verbStart   = "start"
	verbExec    = "exec"
	verbRun     = "run"
	verbAttach  = "attach"
	verbRestore = "restore"
	verbFeed    = "feed"
	verbHold    = "hold"
	verbClaim   = "claim"
	verbStop    = "stop"
	verbKill    = "kill"
	verbRelease = "release"
	verbSandbox = "sandbox"
	verbKeep    = "keep"
	verbForget  = "forget"
	verbList    = "list"
	verbEvents  = "events"
	verbUpgrade = "upgrade"
)

// request is the header of what a client asks.
type request struct {
	Protocol  int           `json:"protocol"`
	Verb      string        `json:"verb"`
	Key       Key           `json:"key,omitzero"`
	Signal    string        `json:"signal,omitzero"`
	Pid       int           `json:"pid,omitzero"` // of a claim
	Timeout   time.Duration `json:"timeout,omitzero"`
	Sandboxes []string      `json:"sandboxes,omitzero"` // of a release: forgotten with it
	Start     startHeader   `json:"start,omitzero"`
	Exec      execHeader    `json:"exec,omitzero"`
	Attach    attachHeader  `json:"attach,omitzero"`
}

// startHeader is a StartRequest without its program, which is the body, and its files, which are named here in order.
// A client that lost the answer sends the same ID again, and a process that was started and has ended is not started twice.
type startHeader struct {
	ID      string        `json:"id,omitzero"`
	Dir     string        `json:"dir"`
	Sandbox Sandbox       `json:"sandbox,omitzero"`
	Log     Log           `json:"log"`
	Cgroup  string        `json:"cgroup"`
	OOM     string        `json:"oom,omitzero"`
	Notify  spec.Notified `json:"notify,omitzero"`
	Files   []string      `json:"files,omitzero"`
	// Patience is in nanoseconds.
	Patience time.Duration `json:"patience,omitzero"`
}

// response is the header of an answer. The files of a sandbox come along, in the order of its kinds.
type response struct {
	Error     *Error         `json:"error,omitempty"`
	Hello     Hello          `json:"hello,omitzero"`
	Started   Started        `json:"started,omitzero"`
	Pid       int            `json:"pid,omitzero"` // of a further process, or a restorer
	Exit      *spec.Exit     `json:"exit,omitempty"`
	Sandbox   Sandbox        `json:"sandbox,omitzero"`
	Attached  attachedHeader `json:"attached,omitzero"`
	Processes []Process      `json:"processes,omitzero"`
	Event     Event          `json:"event,omitzero"`
}

// Hello is what a keeper says of itself.
type Hello struct {
	Protocol int    `json:"protocol"`
	Build    string `json:"build"` // see BuildID
	Pid      int    `json:"pid"`
	// Dropped counts the bytes of output that it could not write since it began.
	Dropped int64 `json:"dropped,omitzero"`
}

var errFrame = errors.New("malformed frame")

// send writes a frame.
func send(c *net.UnixConn, header any, body []byte, files []*os.File) error {
	head, err := json.Marshal(header)
	if err != nil {
		return err
	}
	if len(head) > maxHeader || len(body) > maxBody || len(files) > maxFiles {
		return fmt.Errorf("request of %d+%d bytes and %d files: %w", len(head), len(body), len(files), unix.EMSGSIZE)
	}
	var sizes []byte
	for _, n := range []int{len(head), len(body), len(files)} {
		sizes = binary.LittleEndian.AppendUint32(sizes, uint32(n))
	}
	buffers := net.Buffers{sizes, head, body}
	if _, err := buffers.WriteTo(c); err != nil {
		return err
	}
	return sendFiles(c, files)
}

// sendFiles sends descriptors, as many with each byte as the kernel takes.
func sendFiles(c *net.UnixConn, files []*os.File) error {
	for len(files) > 0 {
		n := min(len(files), maxRights)
		fds := make([]int, n)
		for i, f := range files[:n] {
			fds[i] = number(f)
		}
		if _, _, err := c.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
			return err
		}
		files = files[n:]
	}
	return nil
}

// number is a file's descriptor, -1 if it has none. Unlike os.File.Fd it does not change the file to blocking.
func number(f *os.File) (n int) {
	n = -1
	if conn, err := f.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}

// receive reads a frame into header. The caller owns the files; after an error there are none.
func receive(c *net.UnixConn, header any) (body []byte, files []*os.File, err error) {
	var sizes [12]byte
	if _, err := io.ReadFull(c, sizes[:]); err != nil {
		return nil, nil, err
	}
	head, rest, n := binary.LittleEndian.Uint32(sizes[0:]), binary.LittleEndian.Uint32(sizes[4:]), binary.LittleEndian.Uint32(sizes[8:])
	if head > maxHeader || rest > maxBody || n > maxFiles {
		return nil, nil, fmt.Errorf("%w: %d+%d bytes, %d files", errFrame, head, rest, n)
	}
	data := make([]byte, head+rest)
	if _, err := io.ReadFull(c, data); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(data[:head], header); err != nil {
		return nil, nil, fmt.Errorf("%w: %v", errFrame, err)
	}
	files, err = receiveFiles(c, int(n))
	return data[head:], files, err
}

// receiveFiles reads n descriptors. A message that brings another number than agreed is refused.
func receiveFiles(c *net.UnixConn, n int) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	oob := make([]byte, unix.CmsgSpace(4*maxRights))
	for len(files) < n {
		_, got, flags, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
		if err != nil {
			return files, err
		}
		more, err := rights(oob[:got])
		files = append(files, more...)
		switch want := min(n-len(files)+len(more), maxRights); {
		case err != nil:
			return files, err
		case flags&unix.MSG_CTRUNC != 0 || len(more) != want:
			return files, fmt.Errorf("%w: %d descriptors arrived instead of %d", errFrame, len(more), want)
		}
	}
	return files, nil
}

// rights takes the descriptors out of control messages.
func rights(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errFrame, err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // not descriptors
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// closeAll closes files.
func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
