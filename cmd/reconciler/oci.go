package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newOCI is the place of the OCI command line in the help: main runs it before there is a command tree, because engines wait for each verb.
func newOCI(*app) *cobra.Command {
	return &cobra.Command{
		Use:   "oci VERB",
		Short: "Run containers of OCI bundles, as engines use runc (see reconciler oci --help)",
		RunE: func(*cobra.Command, []string) error {
			return withHint(errors.New("oci takes no flags in front of it"), "its own global flags come after it: `reconciler oci --help`")
		},
		DisableFlagParsing: true,
	}
}
