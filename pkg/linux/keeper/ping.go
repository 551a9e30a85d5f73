package keeper

import "context"

// Ping is Hello of the keeper that is there now, over a connection of its own: it starts none.
func (c *Client) Ping(ctx context.Context) (Hello, error) {
	conn, err := dial(ctx, c.cfg)
	if err != nil {
		return Hello{}, err
	}
	defer conn.Close()
	resp, back, err := askOver(ctx, conn, request{Verb: verbHello, Protocol: protocol}, nil, nil)
	closeAll(back)
	return resp.Hello, err
}
