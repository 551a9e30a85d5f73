package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newRestore(a *app) *cobra.Command {
	w := &waiting{app: a}
	var from string
	cmd := &cobra.Command{
		Use:   "restore NAME",
		Short: "Start a container from an image",
		Long: `Start a container from an image: its newest good one, or the one of --from. If it runs, it is stopped first by its own
stop signal: what it did since the image is lost, its memory and the files of its writable layer are as they were then.

The image is checked before anything is stopped. If it cannot be restored after all, the container starts as its
manifest says, from an older image or anew; this command fails then, if it runs from none or the image was named exactly.`,
		Example: `  reconciler restore web
  reconciler restore web --from web/20261126-203315123
  reconciler restore web2 --from web      # from the newest image of another with the same spec`,
		Annotations:       exits("0    runs again, from the image", "1    error, or it runs from something else", "124  not done within --timeout; it goes on"),
		Args:              oneName,
		ValidArgsFunction: a.completeOneName,
		RunE:              func(cmd *cobra.Command, args []string) error { return w.restore(cmd.Context(), args[0], from) },
	}
	cmd.Flags().StringVar(&from, "from", "", "the `IMAGE`: NAME/ID, or NAME for the newest of that container")
	_ = cmd.RegisterFlagCompletionFunc("from", a.completeImages)
	w.flags(cmd)
	return cmd
}

func (w *waiting) restore(ctx context.Context, name, from string) error {
	before, err := w.client().Get(ctx, name)
	if err != nil {
		return err
	}
	o, err := w.client().Restore(ctx, name, from)
	if err != nil {
		return err
	}
	if !w.noWait {
		started := before.Status.Container.StartedAt
		wait := &waiter{app: w.app, names: []string{name}, timeout: w.timeout, goal: goal{"a start from an image", func(o spec.Object, there bool) bool {
			return there && o.Status.Container.StartedAt.After(started)
		}}}
		if err := wait.run(ctx); err != nil {
			return err
		}
		o = wait.seen[name]
	}
	return w.restored(o, from)
}

// restored says what a container runs from; anything but an image, or but the one that was named exactly, is an error, when it was waited for.
func (w *waiting) restored(o spec.Object, from string) error {
	name := o.Metadata.Name
	c, known := condition(o, spec.ConditionRestored)
	image, _, _ := strings.Cut(c.Message, ";")
	what := ""
	switch {
	case w.noWait:
	case !known || c.Status != spec.True:
		what = "an image"
	case strings.Contains(from, "/") && image != from:
		what = from
	}
	if what != "" {
		why := fmt.Errorf("%q does not run from %s: %s", name, what, cmp.Or(c.Message, c.Reason, "it was started anew"))
		return withHint(why, fmt.Sprintf("`reconciler checkpoint ls %s` lists what there is, `reconciler events %s` what was tried", name, name))
	}
	text := w.out.paint(phaseColour(o.Status.Phase), clean(string(o.Status.Phase)))
	if !w.noWait && known && c.Message != "" {
		text += ", from " + cleanLine(c.Message)
	}
	fmt.Fprintf(w.out, "%s: %s\n", name, text)
	return nil
}

func newShutdown(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "shutdown",
		Short: "Bring all containers down, because the node goes down",
		Long: `Bring all containers down because the node goes down, and wait until they are: those whose manifest says
checkpoint.onShutdown into an image, the others, and those whose image cannot be had in time, by their own stop signal.
The agent starts nothing any more after that; the next one does, after the boot.

It is meant for a unit that systemd stops before the agent when the system goes down; docs/checkpoint.md has one.`,
		Example:     "  reconciler shutdown --timeout 80s",
		Annotations: exits("0    all are down", "1    error, usage included", "124  not all are down within --timeout"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.shutdown(cmd.Context(), timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 80*time.Second, "how long it may take; 0 for ever")
	return cmd
}

func (a *app) shutdown(ctx context.Context, timeout time.Duration) error {
	list, err := a.client().Shutdown(ctx, timeout)
	if errors.Is(err, context.DeadlineExceeded) {
		return &exit{exitTimeout, fmt.Errorf("not all containers are down after %s: %w", timeout, err)}
	}
	if err != nil {
		return err
	}
	t := newTable("NAME", "PHASE", "MESSAGE")
	for _, o := range list.Items {
		t.add(cell{text: o.Metadata.Name}, cell{text: string(o.Status.Phase), colour: phaseColour(o.Status.Phase)}, cell{text: message(o)})
	}
	if t.drawable() {
		t.draw(a.out)
	}
	return nil
}
