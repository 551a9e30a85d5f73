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
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Confirm removals that are held back",
		Long: `Show the removals that the agent holds back, and confirm them: one scan that removes more than 3 containers
and more than half of its source waits for a person (see run --prune), and so do containers whose source
the agent does not have any more.

Confirming names the source and the hash of its contents, so that a later mistake is not confirmed with it.`,
		Example: "  reconciler prune\n  reconciler prune --confirm /etc/reconciler/manifests.d@6f1c2a98d0e1",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if confirm != "" {
				return a.confirmPrune(cmd.Context(), confirm)
			}
			sources, err := a.client().Sources(cmd.Context())
			if err == nil && !a.printBlocked(sources) {
				fmt.Fprintln(a.out, "nothing is held back")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "let the removals of `SOURCE@HASH` go on")
	return cmd
}

func (a *app) confirmPrune(ctx context.Context, confirm string) error {
	at := strings.LastIndex(confirm, "@")
	if at <= 0 || at == len(confirm)-1 {
		return withHint(fmt.Errorf("cannot understand --confirm %q", confirm), "`reconciler prune` shows what to confirm, as SOURCE@HASH")
	}
	source, hash := confirm[:at], confirm[at+1:]
	if _, err := a.client().ConfirmPrune(ctx, source, hash); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "confirmed for %s at %s\n", clean(source), clean(hash))
	return nil
}

// printBlocked writes what is held back and how to let it go; false when nothing is.
func (a *app) printBlocked(sources []api.Source) (found bool) {
	for _, s := range sources {
		if len(s.Blocked) == 0 {
			continue
		}
		found = true
		fmt.Fprintf(a.out, "\nheld back: %s\n", clean(strings.Join(s.Blocked, ", ")))
		fmt.Fprintf(a.out, "%s reconciler prune --confirm %s@%s\n", a.out.bold("hint:"), clean(s.Name), clean(s.Hash))
	}
	return found
}
