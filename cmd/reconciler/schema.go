package main

import (
	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a manifest",
		Long: `Print the JSON Schema of a manifest, for editors and pipelines. Editors that speak the YAML language server's
protocol take it from the first line of a manifest:

  # yaml-language-server: $schema=/etc/reconciler/schema.json`,
		Example: "  reconciler schema > /etc/reconciler/schema.json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(spec.Schema())
			return err
		},
	}
}
