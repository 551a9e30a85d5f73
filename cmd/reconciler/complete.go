package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completeNames completes the names of containers, when an agent answers quickly.
func (a *app) completeNames(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	list, err := a.client().List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, o := range list.Items {
		if !slices.Contains(args, o.Metadata.Name) {
			names = append(names, cobra.CompletionWithDesc(o.Metadata.Name, string(o.Status.Phase)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeOneName completes the first argument only.
func (a *app) completeOneName(cmd *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeNames(cmd, args, start)
}
