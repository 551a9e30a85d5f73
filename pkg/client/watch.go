package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// How long a watch waits before it connects again: doubled from the first to the last.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 2 * time.Second
)

// Watch gives all containers as Added, a Bookmark, and then every change until ctx ends. It survives restarts of the
// agent: afterwards it lists again and gives only what differs, deletions included. An error that connecting again
// cannot mend, and the first failure to connect, end it.
func (c *Client) Watch(ctx context.Context) iter.Seq2[api.Change, error] {
	return func(yield func(api.Change, error) bool) {
		w := watch{client: c, seen: map[string]spec.Object{}}
		for wait := firstWait; ; wait = min(2*wait, lastWait) {
			before := w.version
			more, err := w.once(ctx, yield)
			if !more {
				return
			}
			if fatal(err) || !w.listed {
				yield(api.Change{}, err)
				return
			}
			if w.version != before {
				wait = firstWait
			}
			if !sleep(ctx, wait) {
				return
			}
		}
	}
}

// watch is what has been seen so far.
type watch struct {
	client  *Client
	agent   string // the life of the agent that version belongs to
	version uint64 // 0: list first
	listed  bool   // a list has been given, so the agent was there once
	seen    map[string]spec.Object
}

// once lists if it must, then passes changes on until the connection ends. more is false when the reader has left or ctx has ended.
func (w *watch) once(ctx context.Context, yield func(api.Change, error) bool) (more bool, err error) {
	if w.version == 0 {
		if more, err = w.list(ctx, yield); !more || err != nil {
			return more && ctx.Err() == nil, err
		}
	}
	body, err := w.client.open(ctx, "/containers", url.Values{
		"watch": {"1"}, "agent": {w.agent}, "resourceVersion": {strconv.FormatUint(w.version, 10)},
	})
	if errors.Is(err, api.ErrExpired) {
		w.version = 0
		return ctx.Err() == nil, nil
	}
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer body.Close()
	return w.pass(ctx, json.NewDecoder(body), yield)
}

func (w *watch) pass(ctx context.Context, lines *json.Decoder, yield func(api.Change, error) bool) (bool, error) {
	for {
		var change api.Change
		if err := line(lines, &change); err != nil {
			if errors.Is(err, api.ErrExpired) {
				w.version, err = 0, nil // we were too slow: list again
			}
			return ctx.Err() == nil, err
		}
		w.version = max(w.version, change.Object.Metadata.ResourceVersion)
		if change.Type != api.Bookmark && !w.give(change, yield) {
			return false, nil
		}
	}
}

// list gives the difference between what has been seen and what is there now, then a Bookmark.
func (w *watch) list(ctx context.Context, yield func(api.Change, error) bool) (bool, error) {
	list, err := w.client.List(ctx)
	if err != nil {
		return true, err
	}
	now := map[string]bool{}
	for _, object := range list.Items {
		now[object.Metadata.Name] = true
		if !w.give(api.Change{Type: api.Modified, Object: object}, yield) {
			return false, nil
		}
	}
	for name, object := range w.seen {
		if !now[name] && !w.give(api.Change{Type: api.Deleted, Object: object}, yield) {
			return false, nil
		}
	}
	w.agent, w.version, w.listed = list.Metadata.Agent, list.Metadata.ResourceVersion, true
	return yield(api.Change{Type: api.Bookmark}, nil), nil
}

// give passes a change on, as the reader sees it: the first sight of an object is its Added.
func (w *watch) give(change api.Change, yield func(api.Change, error) bool) bool {
	name := change.Object.Metadata.Name
	_, known := w.seen[name]
	switch {
	case change.Type == api.Deleted:
		delete(w.seen, name)
	case known:
		change.Type = api.Modified
		w.seen[name] = change.Object
	default:
		change.Type = api.Added
		w.seen[name] = change.Object
	}
	return yield(change, nil)
}

// WatchEvents gives the events kept with an ID above since, and then new ones until ctx ends. After a restart of the agent
// it goes on with the new one's events.
func (c *Client) WatchEvents(ctx context.Context, name string, since uint64) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		agent := ""
		for wait := firstWait; ; wait = min(2*wait, lastWait) {
			version, err := c.Version(ctx)
			if err == nil && agent != "" && version.Agent != agent {
				since = 0
			}
			if err == nil {
				agent = version.Agent
				var more bool
				if more, err = c.passEvents(ctx, name, &since, yield); !more {
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
			if fatal(err) || agent == "" {
				yield(api.Event{}, err)
				return
			}
			if !sleep(ctx, wait) {
				return
			}
		}
	}
}

func (c *Client) passEvents(ctx context.Context, name string, since *uint64, yield func(api.Event, error) bool) (bool, error) {
	query := eventQuery(name, *since)
	query.Set("watch", "1")
	body, err := c.open(ctx, "/events", query)
	if err != nil {
		return true, err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var event api.Event
		if err := line(lines, &event); err != nil {
			return true, err
		}
		*since = event.ID
		if !yield(event, nil) {
			return false, nil
		}
	}
}

// fatal tells whether connecting again is pointless: the agent gave a reasoned answer.
func fatal(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && !slices.Contains(passing, e.Reason)
}

// passing are the reasons of what may be otherwise soon.
var passing = []api.Reason{api.ReasonBusy, api.ReasonInternal, api.ReasonExpired}

// line reads one line of a stream; the last one may say why there are no more.
func line(lines *json.Decoder, into any) error {
	var text json.RawMessage
	if err := lines.Decode(&text); err != nil {
		return err
	}
	if bytes.HasPrefix(text, []byte(`{"error":`)) {
		return api.DecodeError(http.StatusOK, text)
	}
	return json.Unmarshal(text, into)
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
