package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// WatchStats gives what containers use every interval until ctx ends: all of them, or those that are named. It survives restarts of the
// agent. An error that connecting again cannot mend, and the first failure to connect, end it.
func (c *Client) WatchStats(ctx context.Context, interval time.Duration, names ...string) iter.Seq2[api.StatsList, error] {
	return func(yield func(api.StatsList, error) bool) {
		query := url.Values{"watch": {"1"}, "interval": {interval.String()}, "name": names}
		connected := false
		for wait := firstWait; ; wait = min(2*wait, lastWait) {
			got, more, err := c.passStats(ctx, query, yield)
			if connected = connected || got; got {
				wait = firstWait
			}
			if !more || ctx.Err() != nil {
				return
			}
			if fatal(err) || !connected {
				yield(api.StatsList{}, err)
				return
			}
			if !sleep(ctx, wait) {
				return
			}
		}
	}
}

// passStats passes lists on until the connection ends. more is false when the reader has left.
func (c *Client) passStats(ctx context.Context, query url.Values, yield func(api.StatsList, error) bool) (got, more bool, err error) {
	body, err := c.open(ctx, "/stats", query)
	if err != nil {
		return false, true, err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var list api.StatsList
		if err := line(lines, &list); err != nil {
			return got, true, err
		}
		got = true
		if !yield(list, nil) {
			return got, false, nil
		}
	}
}
