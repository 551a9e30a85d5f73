package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// appliedKeys are those whose change counts at once when the configuration is read anew; every other waits for a restart.
var appliedKeys = []string{"manifestOwner", "policy", "requireSignatures", "prune", "driftInterval", "grant", "verbose"}

// live is what an agent runs with, and what of it can be changed.
type live struct {
	line  *pflag.FlagSet
	asked <-chan os.Signal // SIGHUP
	level slog.LevelVar
	dirs  []*source.Dir
	agent *reconcile.Agent
	share func(api.Grants)
	log   logr.Logger

	reading sync.Mutex // held by reconfigure

	mu       sync.Mutex
	started  *settings // as the agent was started: what waits for a restart is as it says
	newest   *settings // as read last without a problem: the other keys are as it says
	problems []string  // of a later reading
}

// open are the directories of manifests.
func (l *live) open(paths []string, o source.Options) (sources []reconcile.Source, _ error) {
	for _, path := range paths {
		dir, err := source.New(path, o)
		if err != nil {
			return nil, err
		}
		l.dirs, sources = append(l.dirs, dir), append(sources, dir)
	}
	return sources, nil
}

// verbose says how much is logged.
func (l *live) verbose(all bool) {
	l.level.Set(slog.LevelInfo)
	if all {
		l.level.Set(slog.LevelDebug)
	}
}

// reload is what SIGHUP and `reconciler reload` ask for: to read the configuration anew, and then to look at everything, trusting nothing that was read before. A
// configuration with a problem changes nothing, but everything is looked at all the same; shown has the problem. The error is why not everything could be looked at.
func (l *live) reload(ctx context.Context) error {
	refused, err := l.reconfigure(), l.agent.Reread(ctx)
	if problem := errors.Join(refused, err); problem != nil {
		l.log.Error(problem, "not all was reloaded")
	} else {
		l.log.Info("reloaded")
	}
	return err
}

// reconfigure reads the configuration anew, once at a time: what was read last counts.
func (l *live) reconfigure() error {
	l.reading.Lock()
	defer l.reading.Unlock()
	next, err := loadSettings(l.line)
	var t taken
	if err == nil {
		t, err = next.take(source.ReadTrusted)
	}
	if err != nil {
		l.refuse(err)
		return fmt.Errorf("the configuration stays as it was: %w", err)
	}
	for _, dir := range l.dirs {
		dir.SetOptions(t.options)
	}
	l.agent.SetRules(t.rules)
	l.share(t.grants)
	l.lost(t.lost)
	l.verbose(next.verbose)
	l.mu.Lock()
	before := l.newest
	l.newest, l.problems = next, nil
	l.mu.Unlock()
	l.tell(before, next)
	return nil
}

// refuse keeps what is in force, and why.
func (l *live) refuse(err error) {
	problems := []string{err.Error()}
	if list, ok := errors.AsType[spec.Problems](err); ok {
		problems = nil
		for _, p := range list {
			problems = append(problems, p.Error())
		}
	}
	l.mu.Lock()
	l.problems = problems
	l.mu.Unlock()
	l.agent.Tell(reconcile.Event{Warning: true, Reason: "ConfigurationRefused", Message: strings.Join(problems, "; ")})
}

// lost tells of grants whose names are nobody's here.
func (l *live) lost(err error) {
	if err != nil {
		l.log.Error(err, "a grant is without effect")
		l.agent.Tell(reconcile.Event{Warning: true, Reason: "GrantUnknown", Message: strings.ReplaceAll(err.Error(), "\n", "; ")})
	}
}

// tell says what is another than it was read before: what counts now, and what waits.
func (l *live) tell(before, after *settings) {
	after.each(func(key string, f *pflag.Flag) {
		was, is := before.flags.Lookup(f.Name).Value.String(), f.Value.String()
		if was == is {
			return
		}
		e := reconcile.Event{Reason: "Reconfigured", Message: fmt.Sprintf("%s is %q, was %q", key, is, was)}
		if !slices.Contains(appliedKeys, key) {
			e = reconcile.Event{Warning: true, Reason: "RestartNeeded", Message: fmt.Sprintf("%s is to be %q: restart the agent; the containers stay", key, is)}
		}
		l.agent.Tell(e)
		l.log.Info("configuration changed", "key", key, "value", is, "before", was, "restart", e.Warning)
	})
}

// shown is what is in force, as people and programs see it.
func (l *live) shown() api.Configuration {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, next := l.started.shown(), l.newest.shown()
	c.Files, c.ReadAt, c.Problems = next.Files, next.ReadAt, l.problems
	l.newest.each(func(key string, f *pflag.Flag) {
		same := f.Value.String() == l.started.flags.Lookup(f.Name).Value.String()
		switch {
		case same || slices.Contains(appliedKeys, key):
			c.Spec[key], c.Sources[key] = next.Spec[key], next.Sources[key]
		case c.Restart == nil:
			c.Restart = map[string]any{}
			fallthrough
		default:
			c.Restart[key] = next.Spec[key]
		}
	})
	return c
}
