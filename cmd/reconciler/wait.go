package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newWait(a *app) *cobra.Command {
	w := &waiter{app: a}
	var all bool
	var applied []string
	revision := revisionWait{app: a}
	cmd := &cobra.Command{
		Use:   "wait [NAME...]",
		Short: "Wait until containers are as you say",
		Long: `Wait until every named or selected container fulfils a condition.

A NAME that does not exist yet is waited for; that of a group stands for all its containers. --applied also waits until the agent has taken notice of what the
manifests say now: use it after changing them. The conditions are
  condition=TYPE[=STATUS]   Ready, Reconciling, Stalled, Accepted, Drifted, Outdated, Suspended, RolledBack,
                            Checkpointed or Restored;
                            STATUS is True if not said
  phase=PHASE               Running, Paused, Stopped, Checkpointed, Completed, BackOff, Failed...
  delete                    the container is gone

--revision waits for a source instead: until it shows that revision (a commit that git-sync checked out, of which 7 digits are
enough, the text of a file .revision, or the hash that sources shows), without problems or removals held back, and every
container of it is Ready or Completed with nothing left to do.`,
		Example: `  reconciler wait web --timeout 30s
  git pull && reconciler wait --applied manifests/
  reconciler wait --revision $(git rev-parse HEAD) --timeout 5m
  reconciler wait --all --for=condition=Ready
  reconciler wait -l app=web --for=phase=Paused
  reconciler wait web --for=delete`,
		Annotations:       exits("0    fulfilled", "1    error, usage included", "124  not fulfilled within --timeout"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			w.names = args
			if revision.revision != "" {
				return revision.wait(cmd, w, all || len(applied) > 0)
			}
			if err := w.choose(all, applied); err != nil {
				return usage(cmd, err)
			}
			if err := w.apply(applied); err != nil {
				return err
			}
			if err := w.run(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %s\n", w.subject(), w.goal.text)
			return nil
		},
	}
	w.goal = readyGoal
	cmd.Flags().Var(&w.goal, "for", "what to wait for: condition=Ready, phase=Running, delete")
	cmd.Flags().DurationVar(&w.timeout, "timeout", time.Minute, "how long to wait; 0 for ever")
	cmd.Flags().VarP(&w.labels, "selector", "l", "all containers with these labels")
	cmd.Flags().BoolVar(&all, "all", false, "all containers")
	cmd.Flags().StringArrayVar(&applied, "applied", nil, "the containers of the manifests at `PATH`, once they are as the manifests say; may be repeated")
	cmd.Flags().StringVar(&revision.revision, "revision", "", "a source at `REV`, and all that comes of it")
	cmd.Flags().StringVar(&revision.source, "source", "", "with --revision: the `DIR` of manifests; default: the only one")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(
		[]string{"condition=Ready", "phase=Running", "phase=Paused", "phase=Stopped", "phase=Checkpointed", "delete"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// waiter watches containers until all reach a goal.
type waiter struct {
	*app
	names   []string // none: all that match labels
	dirs    []string // and all that were read from these directories
	labels  selector
	goal    goal
	timeout time.Duration // 0: for ever
	asked   bool          // for it by the same command, which is not worth waiting for on a node that is drained

	listed bool
	seen   map[string]spec.Object // the newest of each, for those that are there
}

// run returns when the goal is reached; the exit code of its error tells a timeout from a failure.
func (w *waiter) run(ctx context.Context) error {
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	w.listed, w.seen = false, map[string]spec.Object{}
	for change, err := range w.client().Watch(ctx) {
		if err != nil && ctx.Err() == nil {
			return err
		}
		w.take(change)
		if w.listed && len(w.waiting()) == 0 {
			return nil
		}
		if drained := w.drained(); drained != "" && w.asked {
			return fmt.Errorf("%s waits: the node is drained\nhint: `reconciler undrain` ends that", drained)
		}
	}
	return &exit{exitTimeout, fmt.Errorf("gave up after %s waiting for %s\n%s", w.timeout, w.goal.text, w.explain())}
}

// choose checks that exactly one way of choosing containers was said.
func (w *waiter) choose(all bool, applied []string) error {
	ways := 0
	for _, said := range []bool{len(w.names) > 0, all, w.labels.text != "", len(applied) > 0} {
		if said {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("wait needs a NAME, --selector, --all or --applied, and one of these only")
	}
	return nil
}

// apply makes the goal hold for what manifests say; what they do not say any more has to go.
func (w *waiter) apply(paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	m, err := load(paths, w.in, nil)
	if err != nil {
		return err
	}
	if len(m.problems) > 0 {
		w.printProblems(m.problems)
		return &exit{code: exitError}
	}
	for _, d := range m.documents {
		w.names = append(w.names, d.name())
	}
	for _, dir := range m.dirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("cannot find %s: %w", dir, err)
		}
		w.dirs = append(w.dirs, path)
	}
	w.goal = appliedGoal(w.goal, m)
	return nil
}

func (w *waiter) take(change api.Change) {
	o := change.Object
	switch {
	case change.Type == api.Bookmark:
		w.listed = true
	case change.Type == api.Deleted:
		delete(w.seen, o.Metadata.Name)
	case w.wants(o):
		w.seen[o.Metadata.Name] = o
	}
}

func (w *waiter) wants(o spec.Object) bool {
	if len(w.names) == 0 && len(w.dirs) == 0 {
		return w.labels.matches(o.Metadata.Labels)
	}
	return isAnyOf(o, w.names) ||
		slices.ContainsFunc(w.dirs, func(dir string) bool { return isFrom(o, dir) })
}

// waiting are the names that have not reached the goal, sorted; a group is waited for by its containers, once there are some.
func (w *waiter) waiting() []string {
	names := slices.Collect(maps.Keys(w.seen))
	for _, name := range w.names {
		if !w.isSeen(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		o, there := w.seen[name]
		return w.goal.reached(o, there)
	})
}

// drained is one of those that wait because the node is drained; "" for none.
func (w *waiter) drained() string {
	for _, name := range w.waiting() {
		if ready, ok := condition(w.seen[name], spec.ConditionReady); ok && ready.Reason == reconcile.ReasonDrained {
			return name
		}
	}
	return ""
}

func (w *waiter) isSeen(name string) bool {
	for _, o := range w.seen {
		if isNamed(o, name) {
			return true
		}
	}
	return false
}

// subject is what was waited for.
func (w *waiter) subject() string {
	names := slices.Sorted(maps.Keys(w.seen))
	if len(names) == 0 {
		names = w.names
	}
	return cmp.Or(strings.Join(names, ", "), "no containers")
}

// explain says of each container that is not there yet what it is instead.
func (w *waiter) explain() string {
	var lines []string
	for _, name := range w.waiting() {
		o, there := w.seen[name]
		if !there {
			lines = append(lines, fmt.Sprintf("  %s: no such container", name))
			continue
		}
		line := fmt.Sprintf("  %s: %s", name, o.Status.Phase)
		if why := message(o); why != "" {
			line += ", " + why
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
