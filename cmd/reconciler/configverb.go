package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/client"
)

func newConfig(a *app) *cobra.Command {
	var format *format
	var check bool
	cmd := &cobra.Command{
		Use:   "config [FILE]",
		Short: "Show what the agent runs with, or check a configuration",
		Long: `Show what the agent runs with: every key, and where its value was said. What waits for a restart, and why what the files say now is not in
force, is said as well. Without an agent, or with FILE: what an agent would run with that has no flags. The output is itself a configuration.

A configuration is FILE, by default ` + defaultConfig + `, and the files *.yaml in FILE.d by name; the later one counts, and a flag of run more than both.`,
		Example: `  reconciler config
  reconciler config --check /etc/reconciler/config.yaml    # neither root nor agent
  reconciler config -o json | jq -r .spec.manifests[]`,
		Annotations: exits("0  shown; with --check: valid", "1  error, or problems of the files"),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return a.checkConfig(args)
			}
			c, err := a.configuration(cmd, args)
			if err != nil {
				return err
			}
			if err := a.printConfig(c, format.word); err != nil {
				return err
			}
			if len(c.Problems) > 0 {
				return &exit{code: exitError}
			}
			return nil
		},
	}
	format = outputFlag(cmd, "yaml", "json")
	cmd.Flags().BoolVar(&check, "check", false, "read the files, with policy and signers that they name, and say what an agent would refuse")
	return cmd
}

// configuration is that of the agent, if there is one and no file is said.
func (a *app) configuration(cmd *cobra.Command, args []string) (api.Configuration, error) {
	if len(args) == 0 {
		c, err := a.client().Configuration(cmd.Context())
		if !errors.Is(err, client.ErrNotRunning) {
			return c, err
		}
		a.note("no agent runs: this is what one would run with")
	}
	s, err := readConfig(args)
	if err != nil {
		return api.Configuration{}, err
	}
	return s.shown(), nil
}

// readConfig reads the files alone. Who wrote them is only asked where an agent would take them.
func readConfig(args []string) (*settings, error) {
	if len(args) == 0 {
		return loadSettings(&pflag.FlagSet{})
	}
	files, err := configFiles(args[0])
	if err != nil {
		return nil, err
	}
	s := newSettings()
	return s, s.read(files, readAnyone)
}

func (a *app) checkConfig(args []string) error {
	s, err := readConfig(args)
	if err != nil {
		return err
	}
	t, err := s.take(readAnyone)
	if err != nil {
		return err
	}
	if t.lost != nil {
		a.note(strings.ReplaceAll(t.lost.Error(), "\n", "; ") + ": without effect on this node")
	}
	fmt.Fprintf(a.out, "valid: %s in %s\n", count(len(s.sources), "key"), count(len(s.files), "file"))
	return nil
}

// printConfig writes a configuration as one would write it, with comments, or as it is.
func (a *app) printConfig(c api.Configuration, word string) error {
	if word != "yaml" {
		return a.encode(word, c)
	}
	text, err := configText(c)
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}

func configText(c api.Configuration) ([]byte, error) {
	var out bytes.Buffer
	for _, p := range c.Problems {
		fmt.Fprintf(&out, "# not in force: %s\n", cleanLine(p))
	}
	fmt.Fprintf(&out, "apiVersion: %s\nkind: %s\nspec:\n", c.APIVersion, c.Kind)
	var err error
	newSettings().each(func(key string, _ *pflag.Flag) {
		value, ok := c.Spec[key]
		if !ok { // of an agent of another version
			return
		}
		line, failed := flowText(key, value)
		err = errors.Join(err, failed)
		fmt.Fprintf(&out, "  %s  # %s", line, cleanLine(c.Sources[key]))
		if waits, ok := c.Restart[key]; ok {
			then, failed := flowText(key, waits)
			err = errors.Join(err, failed)
			fmt.Fprintf(&out, "; after a restart %s", then)
		}
		out.WriteByte('\n')
	})
	return out.Bytes(), err
}

// flowText is a key with its value, on one line.
func flowText(key string, value any) (string, error) {
	if n, ok := value.(float64); ok { // as JSON has numbers
		value = uint64(n)
	}
	var v yaml.Node
	if err := v.Encode(value); err != nil {
		return "", err
	}
	v.Style = yaml.FlowStyle
	if strings.Contains(v.Value, "\n") {
		v.Style = yaml.DoubleQuotedStyle
	}
	text, err := yaml.Marshal(map[string]*yaml.Node{key: &v})
	return strings.TrimRight(string(text), "\n"), err
}
