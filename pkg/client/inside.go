package client

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Metrics are the agent's figures, in the text format of Prometheus. The caller closes the reader.
func (c *Client) Metrics(ctx context.Context) (io.ReadCloser, error) {
	return c.send(ctx, http.MethodGet, "/metrics", nil)
}

// State is what the agent's loop is doing now, in words for people. The caller closes the reader.
func (c *Client) State(ctx context.Context) (io.ReadCloser, error) {
	return c.send(ctx, http.MethodGet, "/debug/state", nil)
}

// Trace is an execution trace of the agent, for `go tool trace`: of so long from now on, or for 0 of what the agent has kept, or else of the next seconds. The caller
// closes the reader.
func (c *Client) Trace(ctx context.Context, lasts time.Duration) (io.ReadCloser, error) {
	path := "/debug/trace"
	if lasts > 0 {
		path += "?for=" + lasts.String()
	}
	return c.send(ctx, http.MethodGet, path, nil)
}
