package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completeNames completes the names of containers and groups, when an agent answers quickly.
func (a *app) completeNames(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(cmd, args, true)
}

func (a *app) complete(cmd *cobra.Command, args []string, groups bool) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	list, err := a.client().List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, o := range list.Items {
		if group := o.Spec.Group; groups && group != "" && !slices.Contains(args, group) {
			names = append(names, cobra.CompletionWithDesc(group, "all containers of the group"))
		}
		if !slices.Contains(args, o.Metadata.Name) {
			names = append(names, cobra.CompletionWithDesc(o.Metadata.Name, string(o.Status.Phase)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// completeOneName completes the name of a container as the first argument.
func (a *app) completeOneName(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, args, false)
}

// completeImages completes images: the names of containers that have some, and NAME/ID.
func (a *app) completeImages(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	list, err := a.client().Images(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var images []cobra.Completion
	for _, i := range list.Items {
		if !slices.Contains(args, i.Ref()) {
			images = append(images, cobra.CompletionWithDesc(i.Ref(), cleanLine(age(i.CreatedAt)+" ago, "+i.Cause)))
		}
		if !slices.Contains(args, i.Container) {
			images = append(images, cobra.CompletionWithDesc(i.Container, "its newest"))
		}
	}
	slices.Sort(images)
	return slices.Compact(images), cobra.ShellCompDirectiveNoFileComp
}

// completeImageAndFile completes an image, then a file.
func (a *app) completeImageAndFile(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeImages(cmd, args, word)
	}
	return nil, cobra.ShellCompDirectiveDefault
}
