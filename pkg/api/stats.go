package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// stats is what one container uses.
func (s *Server) stats(r *http.Request) (any, error) {
	name, instance, err := s.instance(r)
	if err != nil {
		return nil, err
	}
	stats, err := s.Node.Stats(r.Context(), name, instance)
	return stats, s.vanished(name, err)
}

func (s *Server) processes(r *http.Request) (any, error) {
	name, instance, err := s.instance(r)
	if err != nil {
		return nil, err
	}
	processes, err := s.Node.Processes(r.Context(), name, instance)
	return append([]spec.Process{}, processes...), s.vanished(name, err)
}

func (s *Server) drift(r *http.Request) (any, error) { return s.compare(r, s.Agent.Drift) }

func (s *Server) repairDrift(r *http.Request) (any, error) {
	if err := readBody(r, &struct{}{}); err != nil {
		return nil, err
	}
	return s.compare(r, s.Agent.RepairDrift)
}

func (s *Server) compare(r *http.Request, look func(context.Context, string) ([]spec.Drift, error)) (any, error) {
	object, err := s.object(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	drifts, err := look(r.Context(), object.Metadata.Name)
	return append([]spec.Drift{}, drifts...), err
}

// instance is the instance that is shown of the container a request is about.
func (s *Server) instance(r *http.Request) (name string, instance uint64, err error) {
	object, err := s.object(r.PathValue("name"))
	if err != nil {
		return "", 0, err
	}
	name, instance = object.Metadata.Name, object.Status.Container.Instance
	if instance == 0 {
		err = noInstance(name)
	}
	return name, instance, err
}

func noInstance(name string) error {
	return &Error{Reason: ReasonConflict, Message: fmt.Sprintf("container %q has no instance", name), Text: fmt.Sprintf("`reconciler describe %s` says why", name)}
}

// vanished makes an instance that went between two looks one that is not there.
func (s *Server) vanished(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return noInstance(name)
	}
	return err
}

// allStats is what all containers use, or those that are named: ?name=web&name=db. The first name that does not exist is an error.
func (s *Server) allStats(r *http.Request) (any, error) {
	names := r.URL.Query()["name"]
	for _, name := range names {
		if _, err := s.object(name); err != nil {
			return nil, err
		}
	}
	return s.sample(r.Context(), names)
}

// sample reads the statistics of containers by name, of all for no names.
func (s *Server) sample(ctx context.Context, names []string) (StatsList, error) {
	list := StatsList{APIVersion: spec.APIVersion, Kind: KindStatsList, Items: []spec.Stats{}}
	objects, _ := s.Agent.Objects()
	for _, o := range objects {
		name, instance := o.Metadata.Name, o.Status.Container.Instance
		if instance == 0 || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		stats, err := s.Node.Stats(ctx, name, instance)
		switch {
		case ctx.Err() != nil:
			return list, ctx.Err()
		case errors.Is(err, fs.ErrNotExist): // it went meanwhile
		case err != nil:
			s.Log.Error(err, "statistics are left out", "container", name)
		default:
			list.Items = append(list.Items, stats)
		}
	}
	return list, nil
}

// watchStats sends a whole list every ?interval=2s.
func (s *Server) watchStats(ctx context.Context, out *output, r *http.Request) error {
	interval, err := intervalOf(r.URL.Query().Get("interval"))
	if err != nil {
		return err
	}
	first, err := s.allStats(r.WithContext(ctx))
	if err != nil {
		return err
	}
	if err := out.begin(contentLines); err != nil {
		return err
	}
	list, names := first.(StatsList), r.URL.Query()["name"]
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := out.send(list); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if list, err = s.sample(ctx, names); err != nil {
			return err
		}
	}
}

func intervalOf(text string) (time.Duration, error) {
	if text == "" {
		return DefaultInterval, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < ShortestInterval || d > LongestInterval {
		return 0, &Error{Reason: ReasonInvalid, Message: fmt.Sprintf("interval=%q is no time between %v and %v", text, ShortestInterval, LongestInterval)}
	}
	return d, nil
}
