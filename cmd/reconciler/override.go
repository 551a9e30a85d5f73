package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// overrides are the verbs that set a state over the manifest's.
var overrides = map[string]struct {
	short, long string
	goal        goal // reached when it is done
}{
	"pause": {
		"Freeze containers", "Freeze all processes of containers; memory and connections stay.",
		phaseGoal(spec.PhasePaused),
	},
	"resume": {
		"Thaw paused containers", "Thaw containers that are paused, by hand or by their manifest.",
		phaseGoal(spec.PhaseRunning, spec.PhaseCompleted),
	},
	"stop": {
		"Stop containers", "Stop containers: the stop signal, the stop timeout, then the kill. They stay stopped until start or clear.",
		phaseGoal(spec.PhaseStopped),
	},
	"start": {
		"Start stopped containers", "Start containers that are stopped or checkpointed, by hand or by their manifest; the latter go on from their image.",
		phaseGoal(spec.PhaseRunning, spec.PhaseCompleted),
	},
	"suspend": {
		"Do nothing about containers", "Do nothing about containers, whatever happens: what runs runs on, and is watched and shown.",
		goal{"suspended", func(o spec.Object, there bool) bool { return there && o.Status.Override.Suspended }},
	},
	"clear": {
		"Follow the manifest again", "Clear what was set by hand, and a return to an earlier manifest: the newest manifest alone decides again.",
		goal{"what the manifest says", func(o spec.Object, there bool) bool {
			return there && o.Status.Override.IsZero() && o.Status.Rollout.State != spec.RolloutRolledBack && len(o.Status.Pending) == 0
		}},
	},
}

const overrideNote = `

What is set by hand goes over the manifest and is shown by get and describe until ` + "`clear`" + `, for as
long as --for says, or until a verb, or a change of the manifest's state, makes it needless. It survives restarts of the agent.
The name of a group stands for all its containers; they are paused and resumed together, whichever is named.`

func newOverride(a *app, verb string) *cobra.Command {
	row := overrides[verb]
	w := &waiting{app: a}
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:               verb + " NAME...",
		Short:             row.short,
		Long:              row.long + overrideNote,
		Example:           fmt.Sprintf("  reconciler %s web", verb),
		Annotations:       waitingExits,
		Args:              atLeastOneName,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if lasts < 0 {
				return usage(cmd, fmt.Errorf("it cannot last for %s", lasts))
			}
			return w.each(cmd.Context(), args, func(ctx context.Context, name string) (goal, error) {
				_, err := a.client().Override(ctx, name, verb, lasts)
				return row.goal, err
			})
		},
	}
	if verb != "clear" {
		cmd.Flags().DurationVar(&lasts, "for", 0, "how long it lasts, 90m say; 0 until it is cleared")
	}
	w.flags(cmd)
	return cmd
}

func newRestart(a *app) *cobra.Command {
	w := &waiting{app: a}
	cmd := &cobra.Command{
		Use:   "restart NAME...",
		Short: "Restart containers",
		Long: `Stop the process of containers with their stop signal and start it again, in the same instance:
network namespace and writable layer of longer life stay.`,
		Example:           "  reconciler restart web",
		Annotations:       waitingExits,
		Args:              atLeastOneName,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.each(cmd.Context(), args, a.restart)
		},
	}
	w.flags(cmd)
	return cmd
}

// restart asks for a restart; its goal is a start later than the last one.
func (a *app) restart(ctx context.Context, name string) (goal, error) {
	before, err := a.client().Get(ctx, name)
	if err != nil {
		return goal{}, err
	}
	started := before.Status.Container.StartedAt
	_, err = a.client().Do(ctx, name, "restart")
	return goal{"a new start", func(o spec.Object, there bool) bool {
		return there && o.Status.Container.StartedAt.After(started)
	}}, err
}

var waitingExits = exits("0    done", "1    error, usage included", "124  not done within --timeout; it goes on")

// waiting carries a verb out and waits for its effect.
type waiting struct {
	*app
	noWait  bool
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.noWait, "no-wait", false, "only ask, do not wait until it is done")
	cmd.Flags().DurationVar(&w.timeout, "timeout", time.Minute, "how long to wait; 0 for ever")
}

// each asks for all containers first, then waits for one after the other.
func (w *waiting) each(ctx context.Context, names []string, ask func(ctx context.Context, name string) (goal, error)) error {
	names, err := w.members(ctx, names)
	if err != nil {
		return err
	}
	goals := make([]goal, len(names))
	for i, name := range names {
		if goals[i], err = ask(ctx, name); err != nil {
			return err
		}
	}
	for i, name := range names {
		if err := w.finish(ctx, name, goals[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *waiting) finish(ctx context.Context, name string, g goal) error {
	var o spec.Object
	var err error
	if w.noWait {
		o, err = w.client().Get(ctx, name)
	} else {
		wait := &waiter{app: w.app, names: []string{name}, goal: g, timeout: w.timeout, asked: true}
		err = wait.run(ctx)
		o = wait.seen[name]
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w.out, "%s: %s%s\n", name, w.out.paint(phaseColour(o.Status.Phase), clean(string(o.Status.Phase))), w.aside(o))
	return nil
}

// aside reminds of an override that stays.
func (w *waiting) aside(o spec.Object) string {
	override := o.Status.Override
	if override.IsZero() {
		return ""
	}
	text := "by hand, over its manifest"
	if override.Suspended {
		text = "suspended by hand"
	}
	if !override.Until.IsZero() {
		text += " until " + override.Until.Local().Format(time.DateTime)
	}
	return w.out.dim(" (" + text + "; `reconciler clear " + o.Metadata.Name + "` ends that)")
}
