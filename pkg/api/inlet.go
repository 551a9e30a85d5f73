package api

import (
	"errors"
	"sync"
)

var errWindow = errors.New("more input than the window allows")

// inlet holds the input of a session until the process takes it, so that what follows in the connection need not wait.
type inlet struct {
	mu      sync.Mutex
	changed *sync.Cond
	held    []byte // not yet taken
	ended   bool   // there is no more
	closed  bool   // nobody wants any
}

func newInlet() *inlet {
	i := &inlet{}
	i.changed = sync.NewCond(&i.mu)
	return i
}

// add holds more input. More than the window is an error: the client does not keep to the protocol.
func (i *inlet) add(input []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.held)+len(input) > InputWindow {
		return errWindow
	}
	if !i.ended {
		i.held = append(i.held, input...)
		i.changed.Signal()
	}
	return nil
}

// end tells that there is no more input.
func (i *inlet) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	i.changed.Signal()
}

// close lets next return.
func (i *inlet) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.changed.Signal()
}

// next waits for input and gives all there is; spare is what it gave before. None means that there will be no more; ended, that the
// client has said so.
func (i *inlet) next(spare []byte) (input []byte, ended bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.held) == 0 && !i.ended && !i.closed {
		i.changed.Wait()
	}
	if i.closed {
		return nil, false
	}
	input, i.held = i.held, spare[:0]
	return input, len(input) == 0
}
