package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// policyFlag is the flag --policy: the file of a NodePolicy.
type policyFlag struct{ file string }

func (f *policyFlag) flag(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "policy", "", "a `FILE` of kind NodePolicy: what manifests may ask for (default: everything)")
}

// read is the policy, nil when no file is said, as readFile gives it: an agent trusts what nobody else can have written, others read what they are shown.
// What is wrong in it are spec.Problems.
func (f *policyFlag) read(readFile func(string) ([]byte, error)) (*spec.NodePolicy, error) {
	if f.file == "" {
		return nil, nil
	}
	data, err := readFile(f.file)
	if err != nil {
		return nil, fmt.Errorf("no policy: %w", err)
	}
	policy, problems := spec.DecodePolicy(f.file, data)
	if len(problems) > 0 {
		return nil, problems
	}
	return policy, nil
}
