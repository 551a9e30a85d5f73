package main

import (
	"context"
	"errors"
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
	until   string
	labels  selector
	all     bool
	prefix  bool
}

func newLogs(a *app) *cobra.Command {
	l := &logs{app: a}
	cmd := &cobra.Command{
		Use:   "logs NAME...",
		Short: "Print what containers wrote",
		Long: `Print what a container wrote to stdout and stderr, oldest first, byte for byte, from its files or the journal: see
explain spec.logs.driver. Of several containers, or of a group by its name, the lines come in the order of their times, each
behind the name of its container. On a terminal, control characters other than colours are shown as escapes.`,
		Example: `  reconciler logs web --tail 20 -f
  reconciler logs web --since 10m --until 5m --timestamps
  reconciler logs web db                  # both, by time, each line with its name
  reconciler logs -l app=shop -f
  reconciler logs web --previous          # before its last restart`,
		Annotations:       exits("0  printed", "1  error, or a NAME that does not exist"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) > 0) == (l.all || l.labels.text != "") || l.all && l.labels.text != "" {
				return usage(cmd, errors.New("logs needs a NAME, --selector or --all, and one of these only"))
			}
			return l.run(cmd.Context(), args, cmd.Flags().Changed("prefix"))
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&l.options.Follow, "follow", "f", false, "go on with new output")
	flags.BoolVarP(&l.options.Previous, "previous", "p", false, "what was written before the current start of the process")
	flags.BoolVar(&l.options.Timestamps, "timestamps", false, "put the time in front of each line")
	flags.IntVar(&l.options.Tail, "tail", -1, "only the last `LINES` of each container; -1 for all")
	flags.StringVar(&l.since, "since", "", "only what is newer than a `TIME`: 10m, 2h30m, or 2026-01-31T12:00:00Z")
	flags.StringVar(&l.until, "until", "", "only what is older than a `TIME`")
	flags.StringVar(&l.options.Stream, "stream", "", "only one `STREAM`: stdout or stderr")
	flags.VarP(&l.labels, "selector", "l", "the containers with these labels")
	flags.BoolVar(&l.all, "all", false, "all containers")
	flags.BoolVar(&l.prefix, "prefix", false, "put the container's name in front of each line; so it is anyway for more than one name, unless --prefix=false")
	return cmd
}

func (l *logs) run(ctx context.Context, names []string, said bool) (err error) {
	now := time.Now()
	if l.options.Since, err = parseTime("since", l.since, now); err != nil {
		return err
	}
	if l.options.Until, err = parseTime("until", l.until, now); err != nil {
		return err
	}
	if names, err = l.names(ctx, names); err != nil {
		return err
	}
	if !said {
		l.prefix = len(names) > 1
	}
	if len(names) > 1 || l.prefix {
		return l.merge(ctx, names)
	}
	body, err := l.client().Logs(ctx, names[0], l.options)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(l.out.logWriter(), body); err != nil {
		return fmt.Errorf("cannot read on in the logs of %q: %w", names[0], err)
	}
	return nil
}

// names are those of containers: said, members of a group that is said, or selected.
func (l *logs) names(ctx context.Context, said []string) (names []string, err error) {
	if len(said) > 0 {
		return l.members(ctx, said)
	}
	list, err := l.client().List(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range list.Items {
		if l.labels.matches(o.Metadata.Labels) {
			names = append(names, o.Metadata.Name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("there is no such container")
	}
	return names, nil
}

// parseTime reads a length of time before now, or a time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, withHint(fmt.Errorf("cannot understand --%s %q", flag, text), "say how long ago, as in 10m or 2h30m, or a time as in 2026-01-31T12:00:00Z")
	}
	return t, nil
}
