package keeper

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

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
	taps  [2]tap // of stdout and stderr
	ended chan struct{}
	exit  spec.Exit // how the process ended, once that is closed
}

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
	for i, f := range files {
		l.taps[i].pipe = f
	}
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
		_, extra, _ := receive(conn, &request{})
		closeAll(extra)
	})
	select {
	case <-l.ended:
		send(conn, response{Exit: &l.exit}, nil, nil)
	case <-gone:
	case <-ctx.Done():
	}
}

// endListeners tells the listeners how the process ended. The caller holds io.
func (in *instance) endListeners(exit spec.Exit) {
	for _, l := range in.listeners {
		l.exit = exit
		close(l.ended)
	}
	in.listeners = nil
}
