package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newRollout(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "See how changed manifests prove themselves, and go back",
		Long: `A changed manifest has to prove itself: its container has to be ready for spec.update.healthyFor, within
spec.update.healthyWithin. One that does not makes room for the last that has, where spec.update.onFailure says so: that is
RolledBack until the manifest changes again, or ` + "`clear`" + ` has it tried once more.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRolloutStatus(a), newRolloutHistory(a), newRolloutUndo(a))
	return cmd
}

func newRolloutStatus(a *app) *cobra.Command {
	w := &waiting{app: a}
	cmd := &cobra.Command{
		Use:               "status NAME...",
		Short:             "Wait until manifests have proven themselves, or have not",
		Long:              "Wait until the newest manifests of containers have proven themselves, or have not, and say which.",
		Example:           "  reconciler rollout status web --timeout 5m",
		Annotations:       exits("0    all have proven themselves", "1    one has not, or an error", "124  not decided within --timeout"),
		Args:              atLeastOneName,
		ValidArgsFunction: a.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return w.rollouts(cmd.Context(), args) },
	}
	w.flags(cmd)
	return cmd
}

// decided is reached when it is known whether a manifest has proven itself.
var decided = goal{"a decision", func(o spec.Object, there bool) bool {
	r := o.Status.Rollout
	return there && r.State != spec.RolloutProgressing && r.Generation == o.Metadata.Generation && o.Status.ObservedGeneration == o.Metadata.Generation
}}

func (w *waiting) rollouts(ctx context.Context, names []string) error {
	names, err := w.members(ctx, names)
	if err != nil {
		return err
	}
	var failed []string
	for _, name := range names {
		wait := &waiter{app: w.app, names: []string{name}, goal: decided, timeout: w.timeout}
		if w.noWait {
			o, err := w.client().Get(ctx, name)
			if err != nil {
				return err
			}
			wait.seen = map[string]spec.Object{name: o}
		} else if err := wait.run(ctx); err != nil {
			return err
		}
		r := wait.seen[name].Status.Rollout
		fmt.Fprintf(w.out, "%s: %s\n", name, rolloutText(r))
		if r.State != spec.RolloutHealthy && r.State != spec.RolloutProgressing {
			failed = append(failed, name)
		}
	}
	if failed != nil {
		return withHint(fmt.Errorf("not proven: %s", strings.Join(failed, ", ")), "`reconciler rollout history NAME` shows what changed")
	}
	return nil
}

// rolloutText is a rollout in one line; "" for none.
func rolloutText(r spec.Rollout) string {
	if r.Generation == 0 {
		return ""
	}
	text := fmt.Sprintf("generation %d %s", r.Generation, r.State)
	if r.InForce != r.Generation {
		text += fmt.Sprintf(", %d is in force", r.InForce)
	}
	if r.Message != "" {
		text += ": " + cleanLine(r.Message)
	}
	return text
}

func newRolloutHistory(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "history NAME",
		Short:             "Show the manifests that are remembered",
		Long:              "Show the manifests of a container that are remembered, what became of each, and by which fields it differs from the one before.",
		Example:           "  reconciler rollout history web",
		Annotations:       exits("0  shown", "1  error, usage included"),
		Args:              oneName,
		ValidArgsFunction: a.completeOneName,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.history(cmd.Context(), args[0]) },
	}
}

func (a *app) history(ctx context.Context, name string) error {
	revisions, err := a.client().Revisions(ctx, name)
	if err != nil {
		return err
	}
	inForce := revisions[len(revisions)-1].InForce
	t := newTable("GENERATION", "STATE", "AGE", "CHANGES")
	for _, r := range revisions {
		state := string(r.State)
		if r.Generation == inForce {
			state += ", in force"
		}
		var changes []string
		for _, c := range r.Changes {
			changes = append(changes, fmt.Sprintf("%s: %s -> %s", c.Path, cmpText(c.Old), cmpText(c.New)))
		}
		old := ""
		if !r.Since.IsZero() {
			old = age(r.Since)
		}
		t.add(cell{text: fmt.Sprint(r.Generation)}, cell{text: state}, cell{text: old}, cell{text: strings.Join(changes, "; ")})
	}
	t.draw(a.out)
	return nil
}

// cmpText is a value of a comparison, in words where there is none.
func cmpText(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func newRolloutUndo(a *app) *cobra.Command {
	w := &waiting{app: a}
	var generation int64
	cmd := &cobra.Command{
		Use:   "undo NAME",
		Short: "Put an earlier manifest in force",
		Long: `Put the last manifest before the one in force that has proven itself in force again, or the one of --to-revision. It stays until the
manifest changes or ` + "`clear`" + ` returns to it; until then the container is not Ready, with the reason RolledBack.`,
		Example: `  reconciler rollout undo web
  reconciler rollout undo web --to-revision 3`,
		Annotations:       waitingExits,
		Args:              oneName,
		ValidArgsFunction: a.completeOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.client().Undo(cmd.Context(), args[0], generation)
			if err != nil {
				return err
			}
			if !w.noWait {
				wait := &waiter{app: a, names: args, goal: undone, timeout: w.timeout}
				if err := wait.run(cmd.Context()); err != nil {
					return err
				}
				o = wait.seen[args[0]]
			}
			fmt.Fprintf(a.out, "%s: %s\n", args[0], rolloutText(o.Status.Rollout))
			return nil
		},
	}
	cmd.Flags().Int64Var(&generation, "to-revision", 0, "the `GENERATION` to return to; 0 for the last that has proven itself")
	w.flags(cmd)
	return cmd
}

// undone is reached when the earlier manifest's container is as it should be.
var undone = goal{"the earlier manifest", func(o spec.Object, there bool) bool {
	r := o.Status.Rollout
	return there && r.InForce != r.Generation && len(o.Status.Pending) == 0
}}
