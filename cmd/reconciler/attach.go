package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// attachment is the verb attach.
type attachment struct {
	*app
	noStdin bool
	leave   *detachKeys
}

func newAttach(a *app) *cobra.Command {
	t := &attachment{app: a, leave: &detachKeys{}}
	_ = t.leave.Set("ctrl-p,ctrl-q")
	cmd := &cobra.Command{
		Use:   "attach NAME",
		Short: "Join input and output of a container's own process",
		Long: `Join the input and output of a container's own process, from now on; see logs for what it wrote before. The
container runs on when this verb ends, in whatever way.

If the manifest says stdin, input is passed on; its end ends nothing, neither the container's input nor the output here.
If the manifest says tty, this terminal is passed on key by key, and --detach-keys leave it; else Ctrl-C does.`,
		Example: `  reconciler attach shell
  reconciler attach --no-stdin web
  echo reload | timeout 1 reconciler attach worker`,
		Annotations: exits("0    left with the keys, or the container's process ended with this code, whatever it is",
			"125  this verb failed: no agent, no such container, it does not run, usage",
			"130  left with Ctrl-C; 128 and its number for other signals"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return ownUsage(cmd, errors.New("attach needs the name of one container"))
			}
			return nil
		},
		ValidArgsFunction: a.completeOneName,
		RunE:              func(cmd *cobra.Command, args []string) error { return sessionError(t.run(cmd.Context(), args[0])) },
	}
	cmd.Flags().BoolVar(&t.noStdin, "no-stdin", false, "only watch, pass no input on")
	cmd.Flags().Var(t.leave, "detach-keys", "the keys that leave a container with a terminal")
	cmd.SetFlagErrorFunc(ownUsage)
	return cmd
}

func (t *attachment) run(ctx context.Context, name string) error {
	session, err := t.client().Attach(ctx, name)
	if err != nil {
		return err
	}
	talk := &talk{app: t.app, session: session, input: session.Stdin() != nil && !t.noStdin}
	if session.Stderr() == nil && talk.input {
		t.joinConsole(talk)
	}
	if err := talk.run(ctx); err != nil {
		return err
	}
	if talk.left {
		fmt.Fprintln(t.err, "left; the container runs on")
	}
	return nil
}

// joinConsole lets a container's terminal follow this one, if there is one.
func (t *attachment) joinConsole(talk *talk) {
	console, ok := t.consoleOf(true)
	if !ok {
		return
	}
	talk.console, talk.raw, talk.leave = console, true, t.leave
	_ = talk.session.Resize(console.size()) // a session that is over says so later
}
