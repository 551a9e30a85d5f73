package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

type events struct {
	*app
	name   string
	format *format
	watch  bool
}

func newEvents(a *app) *cobra.Command {
	e := &events{app: a}
	cmd := &cobra.Command{
		Use:   "events [NAME]",
		Short: "Show what happened lately",
		Long: `Show what happened lately, oldest first: on the whole node, or to one container.
The agent keeps the newest 64 of each container in memory, since it began; earlier ones are in its log:
journalctl RECONCILER_COMPONENT=agent RECONCILER_CONTAINER=NAME. With -o json each event is one line of JSON.`,
		Example:           "  reconciler events\n  reconciler events web --watch",
		Annotations:       exits("0  shown", "1  error, or a NAME that does not exist and has no events"),
		ValidArgsFunction: a.completeOneName,
		Args:              atMostOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				e.name = args[0]
			}
			return e.run(cmd.Context())
		},
	}
	e.format = outputFlag(cmd, "table", "json")
	cmd.Flags().BoolVarP(&e.watch, "watch", "w", false, "go on with new events")
	return cmd
}

func (e *events) run(ctx context.Context) error {
	all, err := e.client().Events(ctx, e.name, 0)
	if err != nil {
		return err
	}
	if len(all) == 0 && e.name != "" && !e.watch {
		if _, err := e.members(ctx, []string{e.name}); err != nil {
			return err
		}
	}
	t := newTable("TIME", "NAME", "REASON", "MESSAGE")
	var last uint64
	for _, event := range all {
		last = event.ID
		if err := e.add(t, event); err != nil {
			return err
		}
	}
	if t.drawable() {
		t.draw(e.out)
	}
	if !e.watch {
		return nil
	}
	for event, err := range e.client().WatchEvents(ctx, e.name, last) {
		if err != nil {
			return err
		}
		if err := e.add(t, event); err != nil {
			return err
		}
		if t.drawable() {
			t.draw(e.out)
		}
	}
	return nil
}

func (e *events) add(t *table, event api.Event) error {
	if e.format.word == "json" {
		return e.encodeLine(event)
	}
	t.add(cell{text: eventTime(event.Time), colour: dim}, cell{text: orDash(event.Name)}, cell{text: event.Reason, colour: eventColour(event)},
		cell{text: eventMessage(event)})
	return nil
}

// eventTime is the time of day, with the date when it was not today.
func eventTime(t time.Time) string {
	local := t.Local()
	if local.YearDay() == time.Now().YearDay() && time.Since(t) < 24*time.Hour {
		return local.Format("15:04:05")
	}
	return local.Format("2006-01-02 15:04:05")
}

func eventMessage(e api.Event) string {
	if e.Count > 1 {
		return fmt.Sprintf("%s (%d times)", e.Message, e.Count)
	}
	return e.Message
}

func eventColour(e api.Event) colour {
	if e.Warning {
		return yellow
	}
	return plain
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
