package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

type top struct {
	*app
	names    []string
	format   *format
	order    *format
	interval time.Duration
	frames   int
	once     bool
	noHeader bool

	before map[string]spec.Stats
}

func newTop(a *app) *cobra.Command {
	t := &top{app: a, order: &format{"cpu", orderWords}}
	cmd := &cobra.Command{
		Use:   "top [NAME...]",
		Short: "Show what containers use: processor, memory, tasks, network, disks",
		Long: `Show what containers use, again and again until interrupted.

CPU% is of one processor, so that 200 is two. MEMORY is without the files that could be given back at
once. NET and IO are bytes a second, received and sent (without loopback), read and written. PSI is the share of the last
ten seconds in which some process waited for a processor, for memory, for a disk. A dash is what this
node does not count, or what takes a second look to tell.

With -o json the counters are printed as the kernel has them: once as an object {"items": [...]}, else one
line each interval.`,
		Example: `  reconciler top
  reconciler top web db --sort memory
  reconciler top --once
  reconciler top -o json --once | jq '.items[] | {name, rss: .memory.anon}'`,
		Annotations:       exits("0  shown, or interrupted", "1  error, or a NAME that does not exist"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			t.names = args
			return t.run(ctx, cmd)
		},
	}
	t.format = outputFlag(cmd, "table", "json")
	flags := cmd.Flags()
	flags.Var(t.order, "sort", "by this `KEY`: one of cpu, memory, pids, net, io, name")
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(orderWords, cobra.ShellCompDirectiveNoFileComp))
	flags.DurationVarP(&t.interval, "interval", "i", api.DefaultInterval, "time between two looks")
	flags.IntVarP(&t.frames, "iterations", "n", 0, "end after `N` tables; 0 for never")
	flags.BoolVar(&t.once, "once", false, "one table, then end")
	flags.BoolVar(&t.noHeader, "no-headers", false, "leave the header of the table out")
	return cmd
}

func (t *top) run(ctx context.Context, cmd *cobra.Command) error {
	switch {
	case t.frames < 0:
		return usage(cmd, fmt.Errorf("-n %d is no number of tables", t.frames))
	case t.interval < api.ShortestInterval || t.interval > api.LongestInterval:
		return usage(cmd, fmt.Errorf("an interval is %v at least and %v at most", api.ShortestInterval, api.LongestInterval))
	case t.once:
		t.frames = 1
	}
	var err error
	if t.names, err = t.members(ctx, t.names); err != nil {
		return err
	}
	if t.once && t.format.word == "json" {
		list, err := t.client().AllStats(ctx, t.names...)
		if err != nil {
			return err
		}
		return t.encode("json", list)
	}
	return t.follow(ctx)
}

// follow shows every list. A table shows rates, which take two lists; only on a terminal the first is shown without.
func (t *top) follow(ctx context.Context) error {
	shown := 0
	for list, err := range t.client().WatchStats(ctx, t.interval, t.names...) {
		if err != nil {
			return err
		}
		switch {
		case t.format.word == "json":
			err = t.encodeLine(list)
			shown++
		case t.before == nil && (t.frames > 0 || !t.out.terminal):
		default:
			err = t.draw(samplesOf(list, t.before))
			if t.before != nil {
				shown++
			}
		}
		if err != nil || t.frames > 0 && shown >= t.frames {
			return err
		}
		t.before = byName(list)
	}
	return nil
}

func byName(list api.StatsList) map[string]spec.Stats {
	all := map[string]spec.Stats{}
	for _, s := range list.Items {
		all[s.Name] = s
	}
	return all
}
