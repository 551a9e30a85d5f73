package keeper

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// handoverVersion is the version of the handover: what a keeper leaves to the successor it executes in its place. All
// else the successor reads from the records, as any new keeper does.
const handoverVersion = 2

// handover are descriptors by number; -1 is none. A nil handover, of a keeper that starts by itself, hands nothing over.
type handover struct {
	Lock      int             `json:"lock"`
	Socket    int             `json:"socket"`
	Client    int             `json:"client"` // the connection that asked for the upgrade
	Instances []handedProcess `json:"instances"`
	Sandboxes []handedSandbox `json:"sandboxes"`
}

// handedProcess is a running process. The pipes go along because one that the container has closed ends with its last descriptor.
type handedProcess struct {
	Key     Key    `json:"key"`
	Pidfd   int    `json:"pidfd"`
	Pipes   [2]int `json:"pipes"`
	Stdin   int    `json:"stdin"`
	Console int    `json:"console"`
	Notify  int    `json:"notify,omitzero"` // 0 is none as well, from a keeper that knows of none
}

// handedSandbox is a sandbox with its descriptors in the order of its kinds.
type handedSandbox struct {
	Sandbox
	FDs []int `json:"fds"`
}

// readHandover reads the file a predecessor left open.
func readHandover(fd int) (*handover, error) {
	f := inherited(fd, "handover")
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, maxHeader))
	if err != nil {
		return nil, fmt.Errorf("cannot read what the last keeper left: %w", err)
	}
	h := &handover{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("cannot read what the last keeper left: %w", err)
	}
	return h, nil
}

// inherited owns a descriptor from here on; nil for -1.
func inherited(fd int, name string) *os.File {
	if fd < 0 {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// lock gives the lock: the predecessor's or a new one.
func (h *handover) lock(cfg Config) (*os.File, error) {
	if h == nil {
		return acquire(cfg)
	}
	return inherited(h.Lock, cfg.path(lockFile)), nil
}

// socket gives the predecessor's socket; nil if there is none.
func (h *handover) socket() (*net.UnixListener, error) {
	if h == nil {
		return nil, nil
	}
	f := inherited(h.Socket, socketFile)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the socket: %w", err)
	}
	return l.(*net.UnixListener), nil
}

// client gives the connection that waits for the end of the upgrade; nil if there is none.
func (h *handover) client() *net.UnixConn {
	if h == nil {
		return nil
	}
	f := inherited(h.Client, "client")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil
	}
	return c.(*net.UnixConn)
}

// holdings gives what the predecessor held of an instance.
func (h *handover) holdings(key Key) (held holdings) {
	if h == nil {
		return held
	}
	for _, p := range h.Instances {
		if p.Key == key {
			held.pidfd = inherited(p.Pidfd, "pidfd")
			held.stdin, held.console = inherited(p.Stdin, FileStdin), inherited(p.Console, FileConsole)
			if p.Notify > 0 {
				held.notify = inherited(p.Notify, NotifySocket)
			}
			for i, fd := range p.Pipes {
				held.pipes[i] = inherited(fd, pipeNames[i])
			}
		}
	}
	return held
}

// restore puts the predecessor's sandboxes in place.
func (h *handover) restore(all *sandboxes) {
	if h == nil {
		return
	}
	for _, s := range h.Sandboxes {
		kept := keptSandbox{s.Sandbox, map[string]*os.File{}}
		for i, kind := range s.Kinds {
			kept.files[kind] = inherited(s.FDs[i], kind)
		}
		all.byKey[s.Key] = kept
	}
}
