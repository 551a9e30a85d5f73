package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

func newPrune(a *app) *cobra.Command {
	var confirm string
	var format *format
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Show sources of manifests, confirm removals held back",
		Long: `Show the directories of manifests and the removals that the agent holds back: one scan that removes more
than 3 containers and more than half of its source waits for a person (see run --prune).

Confirming names the source and its revision, so that a later mistake is not confirmed with it.`,
		Example: "  reconciler prune\n  reconciler prune --confirm manifests@6f1c2a",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := a.prune(cmd.Context(), confirm)
			if err != nil || format.word != "table" {
				return firstError(err, func() error { return a.encode(format.word, sources) })
			}
			a.printSources(sources)
			return nil
		},
	}
	format = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().StringVar(&confirm, "confirm", "", "let the removals of `SOURCE@REVISION` go on")
	return cmd
}

func (a *app) prune(ctx context.Context, confirm string) ([]api.Source, error) {
	if confirm == "" {
		return a.client().Sources(ctx)
	}
	at := strings.LastIndex(confirm, "@")
	if at <= 0 || at == len(confirm)-1 {
		return nil, withHint(fmt.Errorf("cannot understand --confirm %q", confirm), "`reconciler prune` shows what to confirm, as SOURCE@REVISION")
	}
	return a.client().ConfirmPrune(ctx, confirm[:at], confirm[at+1:])
}

func (a *app) printSources(sources []api.Source) {
	t := newTable("SOURCE", "PATH", "REVISION", "CONTAINERS", "READ", "STATE")
	for _, s := range sources {
		state := cell{"ok", green}
		switch {
		case !s.OK:
			state = cell{"unavailable: nothing is removed", red}
		case len(s.Blocked) > 0:
			state = cell{fmt.Sprintf("%d removals held back", len(s.Blocked)), yellow}
		case len(s.Problems) > 0:
			state = cell{fmt.Sprintf("%d problems", len(s.Problems)), yellow}
		}
		t.add(cell{text: s.Name}, cell{text: s.Path}, cell{text: orDash(s.Revision)}, cell{text: fmt.Sprint(s.Objects)},
			cell{text: orDash(age(s.ReadAt))}, state)
	}
	t.draw(a.out)
	for _, s := range sources {
		for _, p := range s.Problems {
			fmt.Fprintf(a.out, "\n%s\n", clean(p))
		}
		if len(s.Blocked) > 0 {
			fmt.Fprintf(a.out, "\nheld back: %s\n%s reconciler prune --confirm %s@%s\n", clean(strings.Join(s.Blocked, ", ")), a.out.bold("hint:"), s.Name, s.Revision)
		}
	}
}

// firstError is err, or what f returns when there is none.
func firstError(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}
