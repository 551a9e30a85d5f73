package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

type taking struct {
	*app
	options spec.CheckpointOptions
	format  *format
}

func newCheckpoint(a *app) *cobra.Command {
	c := &taking{app: a}
	cmd := &cobra.Command{
		Use:   "checkpoint NAME...",
		Short: "Take images of containers, and look after them",
		Long: `Take an image of containers: processes, memory, connections and files at one moment. They run on as before, whatever
happens; with --stop they end when the image is complete, and only then, and stay down until start, restore or clear.

The containers of a group are taken together, all or none, whichever is named. Interrupted before it is
complete there is no image. What an image cannot hold is said before anything is stopped.

The first word may also be one of the verbs below; a container that is named like one of them stands
after --, as in: reconciler checkpoint -- ls`,
		Example: `  reconciler checkpoint web
  reconciler checkpoint web --keep --cause "before the upgrade"
  reconciler checkpoint web --stop && reconciler start web     # free its memory, go on later
  reconciler checkpoint ls web`,
		Args:              c.args,
		ValidArgsFunction: a.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	cmd.SuggestionsMinimumDistance = 2
	c.format = outputFlag(cmd, "text", "name", "json", "yaml")
	flags := cmd.Flags()
	flags.BoolVar(&c.options.Stop, "stop", false, "end the containers when the image is complete")
	flags.BoolVar(&c.options.Keep, "keep", false, "put the image aside: retention leaves it alone")
	flags.StringVar(&c.options.Cause, "cause", "", "why, for people: a `TEXT`")
	cmd.AddCommand(newImages(a), newShowImage(a), newVerifyImages(a), newKeepImages(a), newRemoveImages(a), newExport(a), newImport(a))
	return cmd
}

// args refuses no name, and a mistyped verb.
func (c *taking) args(cmd *cobra.Command, args []string) error {
	if err := atLeastOneName(cmd, args); err != nil {
		return err
	}
	i := slices.IndexFunc(args, func(arg string) bool { return strings.ContainsAny(arg, "/.") })
	if i < 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 && i > 0 {
		return withHint(fmt.Errorf("checkpoint has no verb %q", args[0]), "did you mean "+strings.Join(near, " or ")+"?")
	}
	return usage(cmd, fmt.Errorf("%q is no name of a container", args[i]))
}

func (c *taking) run(ctx context.Context, names []string) error {
	subjects, err := c.subjects(ctx, names)
	if err != nil {
		return err
	}
	var all []spec.Image
	for _, name := range subjects {
		if slices.ContainsFunc(all, func(i spec.Image) bool { return i.Container == name }) {
			continue // with another of its group
		}
		taken, err := c.take(ctx, name)
		if err != nil {
			return err
		}
		if c.format.word == "text" {
			c.say(taken)
		}
		all = append(all, taken...)
	}
	return c.printImages(c.format.word, all)
}

// subjects are the containers to ask for: one of each group that is named.
func (a *app) subjects(ctx context.Context, names []string) ([]string, error) {
	list, err := a.client().List(ctx)
	if err != nil {
		return nil, err
	}
	subjects := slices.Clone(names)
	for i, name := range names {
		var found *spec.Object
		for _, o := range list.Items {
			live := o.Status.Phase == spec.PhaseRunning || o.Status.Phase == spec.PhasePaused
			if o.Metadata.Name == name || o.Spec.Group == name && (found == nil || live) {
				found = &o
			}
			if o.Metadata.Name == name {
				break
			}
		}
		if found != nil {
			subjects[i] = found.Metadata.Name
		}
	}
	return subjects, nil
}

// take takes the image of a container, and gives those of its group with it.
func (c *taking) take(ctx context.Context, name string) ([]spec.Image, error) {
	image, err := c.client().Checkpoint(ctx, name, c.options)
	if err != nil || image.Set == "" {
		return []spec.Image{image}, err
	}
	list, err := c.client().Images(ctx, "")
	return slices.DeleteFunc(list.Items, func(i spec.Image) bool { return i.Set != image.Set }), err
}

func (c *taking) say(taken []spec.Image) {
	for _, i := range taken {
		fmt.Fprintf(c.out, "%s: %s, frozen for %s, took %s%s\n", i.Ref(), sizeText(float64(i.Bytes)), quick(i.Frozen), quick(i.Took), c.aside(i))
	}
}

// aside says how a container that was stopped goes on.
func (c *taking) aside(i spec.Image) string {
	if !i.Stopped {
		return ""
	}
	return c.out.dim(" (stopped; `reconciler start " + i.Container + "` goes on from here)")
}

// quick is a short length of time with as many digits as it deserves.
func quick(d spec.Duration) string {
	t := time.Duration(d)
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if t >= 10*unit {
			return t.Round(unit).String()
		}
		if t >= unit {
			return t.Round(unit / 10).String()
		}
	}
	return t.String()
}
