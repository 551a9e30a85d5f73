package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Pauses between attempts to subscribe again.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Events gives the ends of processes as hints until ctx or the client ends, when the channel is closed. It notices the death of the
// keeper at once, starts a new one if the client came from Ensure, and then gives spec.EventLost.
func (c *Client) Events(ctx context.Context) (<-chan Event, error) {
	conn, err := c.subscribeFirst(ctx)
	if err != nil {
		return nil, err
	}
	events := make(chan Event, 64)
	ctx, stop := context.WithCancel(ctx)
	unlink := context.AfterFunc(c.life, stop)
	go func() {
		defer close(events)
		defer stop()
		defer unlink()
		for conn != nil {
			forward(ctx, conn, events)
			if conn = c.resubscribe(ctx); conn != nil {
				give(ctx, events, Event{Kind: spec.EventLost})
			}
		}
	}()
	return events, nil
}

// subscribeFirst subscribes, again when a connection breaks, as ask does.
func (c *Client) subscribeFirst(ctx context.Context) (conn *net.UnixConn, err error) {
	for range attempts {
		conn, err = c.subscribe(ctx)
		if _, refused := errors.AsType[*Error](err); err == nil || refused {
			return conn, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c.dropIdle() // the idle connections lead to the same dead keeper
	}
	return nil, fmt.Errorf("cannot %s: the keeper hung up: %w", verbEvents, err)
}

// subscribe opens a connection that carries events from now on.
func (c *Client) subscribe(ctx context.Context) (*net.UnixConn, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	resp, extra, err := exchange(ctx, conn, request{Protocol: protocol, Verb: verbEvents}, nil, nil)
	closeAll(extra)
	if err == nil && resp.Error != nil {
		err = resp.Error
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// resubscribe tries until it succeeds; nil once ctx has ended.
func (c *Client) resubscribe(ctx context.Context) *net.UnixConn {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		c.dropIdle()
		conn, err := c.subscribe(ctx)
		if err == nil {
			return conn
		}
		c.cfg.Log.V(1).Info("keeper not reachable", "error", err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// forward passes events on until the connection breaks or ctx ends.
func forward(ctx context.Context, conn *net.UnixConn, events chan<- Event) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	for {
		var resp response
		_, extra, err := receive(conn, &resp)
		closeAll(extra)
		if err != nil {
			return
		}
		give(ctx, events, resp.Event)
	}
}

// give passes one event on unless ctx ends first.
func give(ctx context.Context, events chan<- Event, e Event) {
	select {
	case events <- e:
	case <-ctx.Done():
	}
}
