package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// attachHeader says which files come along with a request to attach: pipes that the output is copied to, in the order of stdout, stderr.
type attachHeader struct {
	Stderr bool `json:"stderr,omitzero"` // there is a second one
}

// attachedHeader says what somebody is attached to. The input, if there is one, comes along.
type attachedHeader struct {
	Terminal bool `json:"terminal,omitzero"` // the input is the master of a terminal
	Input    bool `json:"input,omitzero"`
}

// listener is somebody who gets a copy of the output.
type listener struct {
	pipes   [2]*os.File // of stdout and stderr; nil for a stream that is not wanted
	stalled time.Time   // since when a pipe takes nothing; zero while it does
	ended   chan struct{}
	exit    spec.Exit // how the process ended, once that is closed
}

// patience is how long a listener that does not read may hold up the output of a container. Then it misses what it cannot take.
const patience = time.Second

// stallPause is the wait before a stalled listener is tried again.
const stallPause = 10 * time.Millisecond

// attach adds a listener to an instance that runs, and gives copies of its input.
func (k *keeper) attach(req request, files []*os.File) (*instance, *listener, attachedHeader, []*os.File, error) {
	in, err := k.find(req.Key)
	if err != nil {
		return nil, nil, attachedHeader{}, nil, err
	}
	want := 1
	if req.Attach.Stderr {
		want = 2
	}
	if len(files) != want {
		return nil, nil, attachedHeader{}, nil, fmt.Errorf("%d pipes came along, not %d: %w", len(files), want, fs.ErrInvalid)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil {
		return nil, nil, attachedHeader{}, nil, err
	}
	if !in.running() {
		return nil, nil, attachedHeader{}, nil, fmt.Errorf("%s/%d has ended: %w", req.Key.Name, req.Key.Instance, fs.ErrNotExist)
	}
	in.io.Lock()
	defer in.io.Unlock()
	l := &listener{ended: make(chan struct{})}
	copy(l.pipes[:], files)
	var back []*os.File
	head := attachedHeader{Terminal: in.console != nil, Input: in.console != nil || in.stdin != nil}
	if head.Input {
		input := in.stdin
		if in.console != nil {
			input = in.console
		}
		copies, err := duplicate(map[string]*os.File{"": input})
		if err != nil {
			return nil, nil, attachedHeader{}, nil, err
		}
		back = []*os.File{copies[""]}
	}
	in.listeners = append(in.listeners, l)
	return in, l, head, back, nil
}

// detach takes a listener away.
func (in *instance) detach(l *listener) {
	in.io.Lock()
	defer in.io.Unlock()
	in.listeners = slices.DeleteFunc(in.listeners, func(other *listener) bool { return other == l })
}

// converseAttach attaches a client, whose connection it is from then on: the end of the process comes back over it.
func (k *keeper) converseAttach(ctx context.Context, conn *net.UnixConn, req request, files []*os.File) {
	var resp response
	var in *instance
	var l *listener
	var back []*os.File
	err := req.current()
	if err == nil {
		k.gate.RLock()
		in, l, resp.Attached, back, err = k.attach(req, files)
		k.gate.RUnlock()
	}
	resp.Error = toError(err)
	failed := send(conn, resp, nil, back)
	closeAll(back)
	defer closeAll(files) // l's
	if err != nil {
		return
	}
	defer in.detach(l)
	if failed != nil {
		return
	}
	gone := make(chan struct{})
	var reader sync.WaitGroup
	defer reader.Wait()
	defer conn.Close()
	reader.Go(func() {
		defer close(gone)
		receive(conn, &request{})
	})
	select {
	case <-l.ended:
		send(conn, response{Exit: &l.exit}, nil, nil)
	case <-gone:
	case <-ctx.Done():
	}
}

// copyOut copies what is in pipe i to the listeners and tells how much of it may now go to the log: all of it, unless a listener that has
// not tried the container's patience yet takes less. The caller holds io.
func (in *instance) copyOut(i int, all bool) (limit int64, err error) {
	n, err := unix.IoctlGetInt(int(in.pipes[i].Fd()), unix.TIOCINQ)
	if err != nil || n == 0 {
		return 0, err
	}
	limit = int64(n)
	for _, l := range in.listeners {
		if l.pipes[i] == nil {
			continue
		}
		copied, err := unix.Tee(int(in.pipes[i].Fd()), int(l.pipes[i].Fd()), n, unix.SPLICE_F_NONBLOCK)
		switch {
		case err != nil && !errors.Is(err, unix.EAGAIN):
			l.pipes[i] = nil // nobody reads it any more; its file is closed by who brought it
		case copied > 0:
			l.stalled = time.Time{}
			if !all {
				limit = min(limit, copied)
			}
		case all: // the process has ended: what it said goes to the log now
		case l.stalled.IsZero():
			l.stalled = time.Now()
			limit = 0
		case time.Since(l.stalled) < patience:
			limit = 0
		}
	}
	return limit, nil
}

// endListeners tells the listeners how the process ended. The caller holds io.
func (in *instance) endListeners(exit spec.Exit) {
	for _, l := range in.listeners {
		l.exit = exit
		close(l.ended)
	}
	in.listeners = nil
}
