package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [" + spec.KindAgentConfig + "]",
		Short: "Print the JSON Schema of a manifest",
		Long: `Print the JSON Schema of a manifest, or of the agent's configuration, for editors and pipelines. Editors that speak the YAML language server's
protocol take it from the first line of a manifest:

  # yaml-language-server: $schema=/etc/reconciler/schema.json`,
		Example: "  reconciler schema > /etc/reconciler/schema.json\n  reconciler schema AgentConfig > /etc/reconciler/config.schema.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != spec.KindAgentConfig {
				return usage(cmd, fmt.Errorf("schema knows %s; without it, manifests", spec.KindAgentConfig))
			}
			return nil
		},
		ValidArgs: []cobra.Completion{spec.KindAgentConfig},
		RunE: func(_ *cobra.Command, args []string) error {
			schema := spec.Schema()
			if len(args) > 0 {
				schema = configKeys().Schema()
			}
			_, err := a.out.Write(schema)
			return err
		},
	}
}
