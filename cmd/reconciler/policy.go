package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// policyFlag is the flag --policy: the file of a NodePolicy.
type policyFlag struct{ file string }

func (f *policyFlag) flag(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "policy", "", "a `FILE` of kind NodePolicy: what manifests may ask for (default: everything)")
}

// read is the policy, nil when no file is said. What is wrong in it are spec.Problems.
func (f *policyFlag) read() (*spec.NodePolicy, error) {
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
		return nil, problems
	}
	return policy, nil
}
