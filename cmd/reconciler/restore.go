package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

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
