package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

type logs struct {
	*app
	options api.LogOptions
	since   string
}

func newLogs(a *app) *cobra.Command {
	l := &logs{app: a}
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a container wrote",
		Long: `Print what a container wrote to stdout and stderr, oldest first, byte for byte.
On a terminal, control characters other than colours are shown as escapes.`,
		Example: `  reconciler logs web --tail 20 -f
  reconciler logs web --since 10m --timestamps
  reconciler logs web --previous          # before its last restart`,
		Annotations:       exits("0  printed", "1  error, or a NAME that does not exist"),
		Args:              oneName,
		ValidArgsFunction: a.completeOneName,
		RunE:              func(cmd *cobra.Command, args []string) error { return l.run(cmd.Context(), args[0]) },
	}
	flags := cmd.Flags()
	flags.BoolVarP(&l.options.Follow, "follow", "f", false, "go on with new output")
	flags.BoolVarP(&l.options.Previous, "previous", "p", false, "what was written before the current start of the process")
	flags.BoolVar(&l.options.Timestamps, "timestamps", false, "put the time in front of each line")
	flags.IntVar(&l.options.Tail, "tail", -1, "only the last `LINES`; -1 for all")
	flags.StringVar(&l.since, "since", "", "only what is newer than a `TIME`: 10m, 2h30m, or 2026-01-31T12:00:00Z")
	flags.StringVar(&l.options.Stream, "stream", "", "only one `STREAM`: stdout or stderr")
	return cmd
}

func (l *logs) run(ctx context.Context, name string) (err error) {
	if l.options.Since, err = parseSince(l.since, time.Now()); err != nil {
		return err
	}
	body, err := l.client().Logs(ctx, name, l.options)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(l.out.logWriter(), body); err != nil {
		return fmt.Errorf("cannot read on in the logs of %q: %w", name, err)
	}
	return nil
}

// parseSince reads a length of time before now, or a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, withHint(fmt.Errorf("cannot understand --since %q", text), "say how long ago, as in 10m or 2h30m, or a time as in 2026-01-31T12:00:00Z")
	}
	return t, nil
}
