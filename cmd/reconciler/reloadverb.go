package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

func newReload(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the agent read its configuration and all manifests anew",
		Long: `Have the agent read its configuration and all manifests anew, as SIGHUP does, and wait until that is done. It says which keys wait for a restart of
the agent, and what is wrong with a configuration: nothing of that is taken then, but manifests are read all the same. See config.`,
		Annotations: exits("0  reloaded", "1  error, or the configuration is refused: the one before stays in force"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client().Reload(cmd.Context())
			if err != nil {
				return err
			}
			return a.printReloaded(c)
		},
	}
}

// printReloaded says what has come of a configuration that was read anew.
func (a *app) printReloaded(c api.Configuration) error {
	if len(c.Problems) > 0 {
		for _, p := range c.Problems {
			a.printProblem(p)
		}
		return errors.New("the configuration stays as it was")
	}
	fmt.Fprintln(a.out, "reloaded")
	var err error
	newSettings().each(func(key string, _ *pflag.Flag) {
		if waits, ok := c.Restart[key]; ok {
			line, failed := flowText(key, waits)
			err = errors.Join(err, failed)
			fmt.Fprintln(a.out, line+"  # after a restart of the agent; the containers stay")
		}
	})
	return err
}
