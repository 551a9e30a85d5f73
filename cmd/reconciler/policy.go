package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// policyFlag is the flag --policy: the file of a NodePolicy.
type policyFlag struct{ file string }

func (f *policyFlag) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "policy", "", "a `FILE` of kind NodePolicy: what manifests may ask for (default: everything)")
}

// read is the policy, nil when no file is said. Its problems are printed.
func (f *policyFlag) read(a *app) (*spec.NodePolicy, error) {
	if f.file == "" {
		return nil, nil
	}
	in, err := os.Open(f.file)
	if err != nil {
		return nil, fmt.Errorf("cannot read policy %s: %w", f.file, errors.Unwrap(err))
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("cannot read policy %s: %w", f.file, err)
	}
	policy, problems := spec.DecodePolicy(f.file, data)
	if len(problems) > 0 {
		a.printProblems(problems)
		return nil, &exit{code: exitError}
	}
	return policy, nil
}
