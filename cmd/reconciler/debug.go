package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/flight"
)

func newDebug(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "debug",
		Short: "Look into the agent itself: its figures, its loop, its execution trace",
		Args:  unknownVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDebugState(a), newDebugMetrics(a), newDebugTrace(a))
	return cmd
}

func newDebugState(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "state",
		Short: "What the loop is doing now",
		Long: `What the loop is doing now: which containers a worker is at, with which verb and for how long, which wait for one, when the node and the
manifests were last looked at. An agent that does nothing has no line "working" and no line "due".`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.printLines(a.client().State(cmd.Context()))
		},
	}
}

func newDebugMetrics(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "metrics",
		Short:   "The agent's metrics, as Prometheus gets them",
		Example: "  reconciler debug metrics | grep reconciler_queue",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.printLines(a.client().Metrics(cmd.Context()))
		},
	}
}

// printLines prints the lines of an answer, and nothing that a terminal would take for something else.
func (a *app) printLines(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if _, err := fmt.Fprintln(a.out, clean(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}

func newDebugTrace(a *app) *cobra.Command {
	var file string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Write an execution trace of the agent into a file",
		Long: `Write an execution trace of the agent into a file, for ` + "`go tool trace FILE`" + `: what each of its goroutines did and waited for, with a task for each pass of
the loop and a region for each action. It is of the next 5s, or of the latest seconds if the agent runs with --flight-recorder. It says
names and code, and nothing of what containers write. It needs the role admin.`,
		Example: `  reconciler debug trace -o agent.trace && go tool trace agent.trace`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return a.trace(ctx, file, lasts)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "reconciler.trace", "the `FILE` to write, - for stdout")
	cmd.Flags().DurationVar(&lasts, "for", 0, "record for so long, up to "+flight.Longest.String()+", before it is written (default 5s, or the latest seconds of --flight-recorder)")
	return cmd
}

func (a *app) trace(ctx context.Context, file string, lasts time.Duration) error {
	if file == "-" && a.out.terminal {
		return withHint(errors.New("a trace is nothing for a terminal"), "say -o FILE")
	}
	body, err := a.client().Trace(ctx, lasts)
	if err != nil {
		return err
	}
	defer body.Close()
	if file == "-" {
		_, err = io.Copy(a.out.Writer, body)
		return err
	}
	if err := writeWhole(file, body); err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	fmt.Fprintf(a.err, "written; look at it with: go tool trace %s\n", clean(file))
	return nil
}
