package network

import (
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Pool keeps a few Private sandboxes made ahead, because making one is a fifth of a container start. Its one goroutine
// works only after a Take, and ends with Close. There is one token for each sandbox, which is in one of the channels or the filler's:
// there are never more sandboxes than that.
type Pool struct {
	ready   chan Sandbox
	want    chan struct{} // tokens of sandboxes to make
	failed  chan struct{} // tokens of those that could not be made
	closing chan struct{}
	done    chan struct{}
}

// NewPool makes a pool of n sandboxes, at least 1, and starts to fill it.
func NewPool(n int) *Pool {
	n = max(n, 1)
	p := &Pool{make(chan Sandbox, n), make(chan struct{}, n), make(chan struct{}, n), make(chan struct{}), make(chan struct{})}
	for range n {
		p.want <- struct{}{}
	}
	go p.fill()
	return p
}

// fill answers each token with a sandbox. After a failure the pool is one short until the next Take asks again, so a
// node without room for namespaces is not kept busy; that Take makes its own and reports the error.
func (p *Pool) fill() {
	defer close(p.done)
	for {
		select {
		case <-p.closing:
			return
		case <-p.want:
		}
		if s, err := Make(spec.NetworkPrivate); err == nil {
			p.ready <- s
		} else {
			p.failed <- struct{}{}
		}
	}
}

// Take gives the caller a sandbox: a ready one if mode is Private or Bridge and there is one, else one made now. Not after Close.
func (p *Pool) Take(mode spec.NetworkMode) (Sandbox, error) {
	if mode != spec.NetworkPrivate && mode != spec.NetworkBridge {
		return Make(mode)
	}
	select {
	case <-p.failed:
		p.want <- struct{}{}
	default:
	}
	select {
	case s := <-p.ready:
		p.want <- struct{}{}
		return s, nil
	default:
		return Make(mode)
	}
}

// Close waits for the filler and closes what is left. Call it once, after the last Take.
func (p *Pool) Close() error {
	close(p.closing)
	<-p.done
	close(p.ready)
	var errs []error
	for s := range p.ready {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
