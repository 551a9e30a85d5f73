package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func (s *Server) containers(*http.Request) (any, error) {
	objects, version := s.Agent.Objects()
	return s.encoded.list(objects, ListMetadata{Agent: s.id, ResourceVersion: version})
}

func (s *Server) container(r *http.Request) (any, error) {
	return s.object(r.PathValue("name"))
}

func (s *Server) object(name string) (spec.Object, error) {
	object, err := s.Agent.Object(name)
	if errors.Is(err, fs.ErrNotExist) {
		return object, s.notFound(name)
	}
	return object, err
}

// notFound tells why there is no container of a name, as far as the agent knows: its manifest may have been refused.
func (s *Server) notFound(name string) *Error {
	e := &Error{Reason: ReasonNotFound, Message: fmt.Sprintf("no container %q", name), Text: "`reconciler get` lists them"}
	if events := s.Agent.Events(name, 0); len(events) > 0 && events[len(events)-1].Reason == eventRejected {
		problem, hint, _ := strings.Cut(events[len(events)-1].Message, "\nhint: ")
		e.Message, e.Text = fmt.Sprintf("no container %q: its manifest was refused: %s", name, problem), hint
	}
	return e
}

// eventRejected is the reason of events about manifests that are not in force.
const eventRejected = "ManifestRejected"

// asking is what a verb asks the agent for.
type asking func(*Server, context.Context, spec.Object, *http.Request) error

// verb carries out one verb and answers with the container as it is right after, before the agent has acted on it.
func verb(do asking) answer {
	return func(s *Server, r *http.Request) (any, error) {
		object, err := s.object(r.PathValue("name"))
		if err != nil {
			return nil, err
		}
		if err := do(s, r.Context(), object, r); err != nil {
			return nil, err
		}
		return s.object(object.Metadata.Name)
	}
}

// override sets a state over the manifest's. The manifest's own state needs none: it clears what was set before.
func override(state spec.State) asking {
	return func(s *Server, ctx context.Context, object spec.Object, r *http.Request) error {
		o, err := until(r)
		if o.State = state; state == cmp.Or(object.Spec.State, spec.StateRunning) || state == "" {
			o = spec.Override{}
		}
		if err != nil {
			return err
		}
		return s.Agent.Override(ctx, object.Metadata.Name, o)
	}
}

// until reads how long something by hand is to last.
func until(r *http.Request) (o spec.Override, err error) {
	var request OverrideRequest
	if err := readBody(r, &request); err != nil {
		return o, err
	}
	if request.For > 0 {
		o.Until = time.Now().Add(time.Duration(request.For)).Round(0).UTC()
	}
	return o, nil
}

func (s *Server) suspend(ctx context.Context, object spec.Object, r *http.Request) error {
	o, err := until(r)
	if err != nil {
		return err
	}
	o.Suspended = true
	return s.Agent.Override(ctx, object.Metadata.Name, o)
}

func (s *Server) undo(ctx context.Context, object spec.Object, r *http.Request) error {
	var request UndoRequest
	if err := readBody(r, &request); err != nil {
		return err
	}
	return s.Agent.Undo(ctx, object.Metadata.Name, request.Generation)
}

func (s *Server) revisions(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if _, err := s.object(name); err != nil {
		return nil, err
	}
	return s.Agent.Revisions(r.Context(), name)
}

func (s *Server) restart(ctx context.Context, object spec.Object, _ *http.Request) error {
	return s.Agent.Restart(ctx, object.Metadata.Name)
}

func (s *Server) kill(ctx context.Context, object spec.Object, r *http.Request) error {
	request := KillRequest{Signal: "SIGKILL"}
	if err := readBody(r, &request); err != nil {
		return err
	}
	return s.Agent.Kill(ctx, object.Metadata.Name, request.Signal)
}

func (s *Server) sources(*http.Request) (any, error) {
	return append([]Source{}, s.Agent.Sources()...), nil
}

func (s *Server) configuration(*http.Request) (any, error) {
	if s.Configuration == nil {
		return Configuration{APIVersion: spec.APIVersion, Kind: spec.KindAgentConfig}, nil
	}
	return s.Configuration(), nil
}

func (s *Server) reload(r *http.Request) (any, error) {
	if s.Reload == nil {
		return nil, fmt.Errorf("this agent cannot read its configuration anew: %w", errors.ErrUnsupported)
	}
	if err := s.Reload(r.Context()); err != nil {
		return nil, err
	}
	return s.configuration(r)
}

func (s *Server) plan(r *http.Request) (any, error) {
	plan, err := s.Agent.Plan(r.Context())
	plan.Actions = append([]Action{}, plan.Actions...)
	return plan, err
}

func (s *Server) features(r *http.Request) (any, error) {
	features := []Feature{}
	for name, err := range s.Node.Features(r.Context()) {
		f := Feature{Name: name}
		if err != nil {
			f.Error = err.Error()
		}
		features = append(features, f)
	}
	sort.Slice(features, func(i, j int) bool { return features[i].Name < features[j].Name })
	return features, nil
}

func (s *Server) prune(r *http.Request) (any, error) {
	var request PruneRequest
	if err := readBody(r, &request); err != nil {
		return nil, err
	}
	if request.Source == "" || request.Hash == "" {
		return nil, &Error{Reason: ReasonInvalid, Message: "a prune names a source and its hash"}
	}
	if err := s.Agent.ConfirmPrune(r.Context(), request.Source, request.Hash); err != nil {
		return nil, err
	}
	return s.sources(r)
}
