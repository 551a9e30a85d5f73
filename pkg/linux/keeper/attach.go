package keeper

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
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
	run, head, back, err := in.input()
	if err != nil {
		return nil, nil, attachedHeader{}, nil, err
	}
	l := &listener{ended: make(chan struct{})}
	for i, f := range files {
		l.taps[i].pipe = f
	}
	if !in.join(l, run) {
		closeAll(back)
		return nil, nil, attachedHeader{}, nil, in.notRunning()
	}
	return in, l, head, back, nil
}

// input gives a copy of the input of an instance that runs, if it has one, and tells which run it is of.
func (in *instance) input() (run log.Run, head attachedHeader, back []*os.File, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil {
		return run, head, nil, err
	}
	if !in.running() {
		return run, head, nil, in.notRunning()
	}
	input := in.stdin
	if in.console != nil {
		input = in.console
	}
	head = attachedHeader{Terminal: in.console != nil, Input: input != nil}
	if head.Input {
		copies, err := duplicate(map[string]*os.File{"": input})
		if err != nil {
			return run, head, nil, err
		}
		back = []*os.File{copies[""]}
	}
	return in.run(), head, back, nil
}

// join adds a listener to a run, unless that has ended. It waits for output being moved, so the caller does not hold mu.
func (in *instance) join(l *listener, run log.Run) bool {
	in.io.Lock()
	defer in.io.Unlock()
	if in.log == nil || in.run() != run {
		return false
	}
	in.listeners = append(in.listeners, l)
	return true
}

func (in *instance) notRunning() error {
	return fmt.Errorf("%s/%d has ended: %w", in.key.Name, in.key.Instance, fs.ErrNotExist)
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

// endListeners tells the listeners how the process ended.
func (in *instance) endListeners(exit spec.Exit) {
	in.io.Lock()
	defer in.io.Unlock()
	for _, l := range in.listeners {
		l.exit = exit
		close(l.ended)
	}
	in.listeners = nil
}
