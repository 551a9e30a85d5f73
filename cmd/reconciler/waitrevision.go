package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// revisionEvery is how often the agent is asked.
const revisionEvery = 200 * time.Millisecond

// minCommit is how many digits of a commit may stand for it.
const minCommit = 7

// revisionWait waits until what a source says at one revision is done.
type revisionWait struct {
	*app
	revision string
	source   string // "" for the only one
	timeout  time.Duration
}

// wait is the verb, with its flags in w; others tells that containers are chosen as well.
func (w *revisionWait) wait(cmd *cobra.Command, flags *waiter, others bool) error {
	if others || len(flags.names) > 0 || flags.labels.text != "" || cmd.Flags().Changed("for") {
		return usage(cmd, errors.New("--revision stands for all containers of a source and what becomes of them"))
	}
	w.timeout = flags.timeout
	if err := w.run(cmd.Context()); err != nil {
		return err
	}
	fmt.Fprintf(w.out, "%s: done\n", clean(w.revision))
	return nil
}

// run returns when the source shows the revision and all is as it says twice in a row; with exit 124 when that takes too long.
func (w *revisionWait) run(ctx context.Context) error {
	within := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	why := "the agent did not answer"
	for good, asked := 0, false; good < 2; {
		now, err := w.look(within)
		switch {
		case within.Err() != nil:
		case err != nil && !asked:
			return err
		case err != nil: // another agent may take over
			why, good = err.Error(), 0
		case now != "":
			why, good, asked = now, 0, true
		default:
			good, asked = good+1, true
		}
		if !pause(within, revisionEvery) && good < 2 {
			return &exit{exitTimeout, fmt.Errorf("gave up after %s waiting for revision %s\n  %s", w.timeout, w.revision, why)}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// look says what is still missing; "" when nothing is.
func (w *revisionWait) look(ctx context.Context) (string, error) {
	c := w.client()
	s, err := w.find(ctx)
	if err != nil {
		return "", err
	}
	if why := w.unread(s); why != "" {
		return why, nil
	}
	plan, err := c.Plan(ctx)
	if err != nil {
		return "", err
	}
	list, err := c.List(ctx)
	if err != nil {
		return "", err
	}
	if why := unsettled(s, fromSource(list.Items, s.Path), plan.Actions); why != "" {
		return why, nil
	}
	again, err := w.find(ctx)
	if err == nil && again.Hash != s.Hash {
		return s.Name + " changed meanwhile", nil
	}
	return "", err
}

// find is the source that is meant.
func (w *revisionWait) find(ctx context.Context) (api.Source, error) {
	sources, err := w.client().Sources(ctx)
	if err != nil {
		return api.Source{}, err
	}
	path, _ := filepath.Abs(w.source)
	sources = slices.DeleteFunc(sources, func(s api.Source) bool { return w.source != "" && s.Name != w.source && s.Path != path })
	switch {
	case len(sources) == 1:
		return sources[0], nil
	case w.source != "":
		return api.Source{}, withHint(fmt.Errorf("the agent has no source %q", w.source), "`reconciler sources` lists them")
	}
	return api.Source{}, withHint(errors.New("the agent has several sources"), "say which one with --source; `reconciler sources` lists them")
}

// unread says why a source is not what is waited for.
func (w *revisionWait) unread(s api.Source) string {
	switch {
	case !w.shows(s):
		return fmt.Sprintf("%s is at revision %s", s.Name, orDash(s.Revision))
	case !s.OK:
		return s.Name + " cannot be read: " + firstLine(s.Problems)
	case len(s.Problems) > 0:
		return fmt.Sprintf("%s of the revision: %s", count(len(s.Problems), "problem"), firstLine(s.Problems))
	case len(s.Blocked) > 0:
		return count(len(s.Blocked), "removal") + " held back: see `reconciler prune`"
	case s.Unsettled:
		return s.Name + " is being written"
	}
	return ""
}

// shows tells whether a source is at the revision, of which the first digits may stand for a commit.
func (w *revisionWait) shows(s api.Source) bool {
	return s.Revision == w.revision || s.Hash == w.revision ||
		len(w.revision) >= minCommit && len(s.Revision) >= 40 && strings.HasPrefix(s.Revision, w.revision)
}

// unsettled says what of a source is not as it says: the agent knows all of it, has nothing to do about it, and it is ready or completed.
func unsettled(s api.Source, objects []spec.Object, actions []api.Action) string {
	for _, o := range objects {
		for _, action := range actions {
			if action.Name == o.Metadata.Name {
				return fmt.Sprintf("%s: %s is to be done, %s", o.Metadata.Name, action.Verb, action.Cause)
			}
		}
		accepted, _ := condition(o, spec.ConditionAccepted)
		done := o.Status.Phase == spec.PhaseCompleted && o.Status.ObservedGeneration == o.Metadata.Generation
		if accepted.Status != spec.True || !done && !readyGoal.reached(o, true) {
			return fmt.Sprintf("%s: %s %s", o.Metadata.Name, o.Status.Phase, message(o))
		}
	}
	if len(objects) != s.Objects {
		return fmt.Sprintf("%d of %s known", len(objects), count(s.Objects, "container"))
	}
	return ""
}

func firstLine(lines []string) string {
	if len(lines) == 0 {
		return "no reason is known"
	}
	line, _, _ := strings.Cut(lines[0], "\n")
	return line
}
