package client

import (
	"io"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// input sends what is written as far as the agent's window allows.
type input struct {
	out     *api.FrameWriter
	mu      sync.Mutex
	changed *sync.Cond
	window  int
	ended   bool // no more can be written
}

func newInput(out *api.FrameWriter) *input {
	i := &input{out: out, window: api.InputWindow}
	i.changed = sync.NewCond(&i.mu)
	return i
}

// Write returns when everything has been sent.
func (i *input) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n := i.reserve(len(p))
		if n == 0 {
			return written, errOver
		}
		if i.out.Send(api.FrameStdin, p[:n]) != nil {
			return written, errOver
		}
		p, written = p[n:], written+n
	}
	return written, nil
}

// reserve waits for room in the window and takes up to n of it, 0 when no more can be written.
func (i *input) reserve(n int) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.window == 0 && !i.ended {
		i.changed.Wait()
	}
	if i.ended {
		return 0
	}
	n = min(n, i.window, api.MaxPayload)
	i.window -= n
	return n
}

// Close ends the input.
func (i *input) Close() error {
	if i.over() {
		_ = i.out.Send(api.FrameStdinEnd, nil) // a session that is over needs no end
	}
	return nil
}

// over lets no more be written; it tells whether more could be.
func (i *input) over() (first bool) {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	first, i.ended = !i.ended, true
	i.changed.Broadcast()
	return first
}

// taken makes room in the window.
func (i *input) taken(n int) {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.window = min(i.window+n, api.InputWindow)
	i.changed.Broadcast()
}

// output is a pipe from frames to a reader; nil for none.
type output struct {
	*io.PipeReader
	to *io.PipeWriter
}

func newOutput(there bool) *output {
	if !there {
		return nil
	}
	r, w := io.Pipe()
	return &output{r, w}
}

func (o *output) reader() io.Reader {
	if o == nil {
		return nil
	}
	return o
}

// give waits until the reader has taken it.
func (o *output) give(p []byte) {
	if o != nil && len(p) > 0 {
		_, _ = o.to.Write(p) // the reader may have been dropped
	}
}

// end lets the reader see the end.
func (o *output) end() {
	if o != nil {
		o.to.Close()
	}
}

// drop lets give return.
func (o *output) drop() {
	if o != nil {
		o.CloseWithError(errClosed)
	}
}
