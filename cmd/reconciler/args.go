package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func atLeastOneName(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage(cmd, fmt.Errorf("%s needs the name of a container", cmd.Name()))
	}
	return nil
}

func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(cmd, fmt.Errorf("%s needs the name of one container", cmd.Name()))
	}
	return nil
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, fmt.Errorf("%s takes no argument, got %q", cmd.Name(), args[0]))
	}
	return nil
}

func atMostOneName(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(cmd, fmt.Errorf("%s takes one name at most, got %q too", cmd.Name(), args[1]))
	}
	return nil
}
