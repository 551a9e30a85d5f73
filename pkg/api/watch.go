package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The content types of one value, and of one a line.
const (
	contentJSON  = "application/json"
	contentLines = "application/jsonl"
)

// errTooFar is why a stream of changes or events ends whose reader was too slow, or asked for what was never there.
var errTooFar = &Error{Reason: ReasonExpired, Message: "the reader is too slow: what comes next is forgotten", Text: "list again, and read faster"}

// watchContainers sends every change after ?resourceVersion=N of ?agent=ID, or without them first all containers as Added.
// A Bookmark follows what was there already, and then comes every so often.
func (s *Server) watchContainers(ctx context.Context, out *output, r *http.Request) error {
	since, err := s.since(r, "resourceVersion")
	if err != nil {
		return err
	}
	var before []spec.Object
	if since == 0 {
		before, since = s.Agent.Objects()
	}
	changes, err := s.Agent.Watch(ctx, since)
	if err != nil {
		return err
	}
	if err := out.begin(contentLines); err != nil {
		return err
	}
	for _, object := range before { // what follows them sends them on their way
		if err := s.putChange(out, Change{Type: Added, Object: object}); err != nil {
			return err
		}
	}
	return s.sendChanges(ctx, out, changes, since)
}

// putChange writes one line, which flush sends.
func (s *Server) putChange(out *output, c Change) error {
	line, err := s.encoded.change(c)
	if err != nil {
		return err
	}
	out.deadline()
	_, err = out.w.Write(line)
	return err
}

func (s *Server) sendChanges(ctx context.Context, out *output, changes <-chan Change, version uint64) error {
	ticker := time.NewTicker(bookmarkEvery)
	defer ticker.Stop()
	change := s.bookmark(version)
	for {
		if err := s.putChange(out, change); err != nil {
			return err
		}
		if err := out.flush(); err != nil {
			return err
		}
		var open bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			change = s.bookmark(version)
		case change, open = <-changes:
			if !open {
				return errTooFar
			}
			version = max(version, change.Object.Metadata.ResourceVersion)
		}
	}
}

func (s *Server) bookmark(version uint64) Change {
	return Change{Type: Bookmark, Agent: s.id, Object: spec.Object{Metadata: spec.ObjectMetadata{ResourceVersion: version}}}
}

func (s *Server) events(r *http.Request) (any, error) {
	since, err := s.since(r, "since")
	return append([]Event{}, s.Agent.Events(r.URL.Query().Get("name"), since)...), err
}

func (s *Server) watchEvents(ctx context.Context, out *output, r *http.Request) error {
	since, err := s.since(r, "since")
	if err != nil {
		return err
	}
	if err := out.begin(contentLines); err != nil {
		return err
	}
	events := s.Agent.WatchEvents(ctx, r.URL.Query().Get("name"), since)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-events:
			if !open {
				return errTooFar
			}
			if err := out.send(event); err != nil {
				return err
			}
		}
	}
}

// since reads the number in a query parameter, 0 when not said. Numbers of another life of the agent have expired.
func (s *Server) since(r *http.Request, parameter string) (uint64, error) {
	query := r.URL.Query()
	if life := query.Get("agent"); life != "" && life != s.id {
		return 0, fmt.Errorf("the agent was restarted since: %w", ErrExpired)
	}
	text := query.Get(parameter)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &Error{Reason: ReasonInvalid, Message: fmt.Sprintf("%s=%q is no number", parameter, text)}
	}
	return n, nil
}
