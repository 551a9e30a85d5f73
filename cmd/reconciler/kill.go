package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newKill(a *app) *cobra.Command {
	signal := "SIGKILL"
	cmd := &cobra.Command{
		Use:   "kill NAME...",
		Short: "Send a signal to containers",
		Long: `Send a signal to process 1 of containers; SIGKILL goes to all their processes.
The manifest still holds: the restart policy decides what follows. Use stop to keep a container down.`,
		Example:           "  reconciler kill -s HUP web\n  reconciler kill web",
		Args:              atLeastOneName,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := signalName(signal)
			if err != nil {
				return err
			}
			names, err := a.members(cmd.Context(), args)
			if err != nil {
				return err
			}
			for _, container := range names {
				if _, err := a.client().Kill(cmd.Context(), container, name); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s: sent %s\n", container, name)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", signal, "the `SIGNAL` by name: SIGHUP, HUP, SIGRTMIN+3, or by number")
	_ = cmd.RegisterFlagCompletionFunc("signal", cobra.FixedCompletions(
		slices.Sorted(maps.Keys(spec.Signals)), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// signalName is the full name of a signal that a person names: hup, SIGHUP or 1.
func signalName(text string) (string, error) {
	full := strings.ToUpper(text)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if _, ok := spec.Signals[full]; ok {
		return full, nil
	}
	for name, number := range spec.Signals {
		if fmt.Sprint(number) == text {
			return name, nil
		}
	}
	return "", withHint(fmt.Errorf("no signal %q", text), "use a name of signal(7), such as SIGTERM or HUP")
}
