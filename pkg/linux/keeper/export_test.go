package keeper

import (
	"context"
	"os"
)

// StartTwice sends the very same start twice, as after a lost answer, and calls between after the first.
func (c *Client) StartTwice(ctx context.Context, r StartRequest, between func(Started)) (Started, error) {
	req, program, files, err := startMessage(r)
	if err != nil {
		return Started{}, err
	}
	resp, err := c.do(ctx, req, program, files)
	if err != nil {
		return Started{}, err
	}
	between(resp.Started)
	resp, err = c.do(ctx, req, program, files)
	return resp.Started, err
}

// Unhook makes this program one that has not called Hook, until the function it returns is called.
func Unhook() (restore func()) {
	hooked.Store(false)
	return func() { hooked.Store(true) }
}

// AdoptSandbox adopts a sandbox from the process with a pid and tells whether it is kept.
func AdoptSandbox(sandbox Sandbox, pid int, pidfd *os.File) (kept bool, err error) {
	s := sandboxes{byKey: map[string]keptSandbox{}}
	err = s.adopt(sandbox, pid, pidfd)
	kept = len(s.keys()) > 0
	s.forget(sandbox.Key)
	return kept, err
}

// Heed draws from a message what is said then.
var Heed = heed
