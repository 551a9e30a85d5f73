package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newShutdown(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "shutdown",
		Short: "Bring all containers down, because the node goes down",
		Long: `Bring all containers down because the node goes down, and wait until they are: those whose manifest says
checkpoint.onShutdown into an image, the others, and those whose image cannot be had in time, by their own stop signal.
The agent starts nothing any more after that; the next one does, after the boot.

It is meant for a unit that systemd stops before the agent when the system goes down; the packages and ` + "`make install`" + ` have one: reconciler-shutdown.service.`,
		Example:     "  reconciler shutdown --timeout 80s",
		Annotations: exits("0    all are down", "1    error, usage included", "124  not all are down within --timeout"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.client().Shutdown(cmd.Context(), timeout)
			return a.broughtDown(list, timeout, err)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 80*time.Second, "how long it may take; 0 for ever")
	return cmd
}

func newDrain(a *app) *cobra.Command {
	var timeout time.Duration
	var checkpoint bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Bring all containers down, and keep them so until undrain",
		Long: `Bring all containers down for the maintenance of the node, what depends on others before these, and wait until they are: those whose
manifest says checkpoint.onShutdown into an image, with --checkpoint all that can, the others by their own stop signal.
What no manifest is known of runs on, and is named. Nothing is started any more, whatever manifests come, and also after restarts of the agent and of the node, until undrain; what went into
an image goes on from it then.`,
		Example: `  reconciler drain --checkpoint --timeout 2m
  reconciler undrain`,
		Annotations: exits("0    all are down", "1    error, usage included", "124  not all are down within --timeout; the node is drained all the same"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.client().Drain(cmd.Context(), timeout, checkpoint)
			return a.broughtDown(list, timeout, err)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long it may take; 0 for ever")
	cmd.Flags().BoolVar(&checkpoint, "checkpoint", false, "put all that can into images")
	return cmd
}

func newUndrain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "undrain",
		Short:       "End a drain: the manifests decide again",
		Long:        "End a drain: what the manifests say is done again. On a node that is not drained nothing happens.",
		Example:     "  reconciler undrain && reconciler wait --all",
		Annotations: exits("0  done", "1  error, usage included"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := a.client().Undrain(cmd.Context())
			return err
		},
	}
}

// broughtDown prints what became of the containers of a node that was brought down.
func (a *app) broughtDown(list api.List, timeout time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &exit{exitTimeout, fmt.Errorf("not all containers are down after %s: %w", timeout, err)}
	}
	if err != nil {
		return err
	}
	t := newTable("NAME", "PHASE", "MESSAGE")
	var unknown []string
	for _, o := range list.Items {
		if ready, _ := condition(o, spec.ConditionReady); ready.Reason == reconcile.ReasonHeld && o.Status.Container.Pid > 0 {
			unknown = append(unknown, o.Metadata.Name)
		}
		t.add(cell{text: o.Metadata.Name}, cell{text: string(o.Status.Phase), colour: phaseColour(o.Status.Phase)}, cell{text: message(o)})
	}
	if t.drawable() {
		t.draw(a.out)
	}
	if len(unknown) > 0 {
		a.note("no manifest is known of what runs on: " + strings.Join(unknown, ", "))
	}
	return nil
}
