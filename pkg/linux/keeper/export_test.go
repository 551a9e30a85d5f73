package keeper

import "context"

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
