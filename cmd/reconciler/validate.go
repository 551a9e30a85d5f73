package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// validation is what validate -o json prints.
type validation struct {
	Valid      bool          `json:"valid"`
	Files      int           `json:"files"`
	Containers []string      `json:"containers"`
	Configs    []string      `json:"configs,omitzero"`
	Problems   spec.Problems `json:"problems"`
}

func newValidate(a *app) *cobra.Command {
	var format *format
	var policy policyFlag
	cmd := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check manifests",
		Long: `Check manifests: files, directories, or - for stdin. Every problem of every file is reported
with file:line:column and, where one helps, a hint. With --policy also what a node's policy does not allow. Needs
neither root nor an agent. Of a directory it reads what the agent would: *.yaml, *.yml and *.json, and no folders in it.`,
		Example: `  reconciler validate manifests/
  cat web.yaml | reconciler validate -
  reconciler validate manifests/ -o json | jq '.problems[].message'`,
		Annotations: exits("0  all valid", "1  problems, files that cannot be read, or no file at all"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, fmt.Errorf("validate needs files, directories, or - for stdin"))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			rules, err := policy.read(readAnyone)
			if err != nil {
				return err
			}
			m, err := load(args, a.in, rules)
			if err != nil {
				return err
			}
			return a.validate(m, format.word)
		},
	}
	format = outputFlag(cmd, "text", "json", "yaml")
	policy.flag(cmd.Flags())
	return cmd
}

func (a *app) validate(m *manifests, word string) error {
	v := validation{Valid: len(m.problems) == 0, Files: m.files, Containers: []string{}, Problems: m.problems}
	if v.Problems == nil {
		v.Problems = spec.Problems{}
	}
	for _, d := range m.documents {
		v.Containers = append(v.Containers, d.name())
	}
	for _, c := range m.configs {
		v.Configs = append(v.Configs, c.name)
	}
	for _, note := range append(m.strangers(), m.nothingIn()...) {
		a.note(note)
	}
	if v.Files == 0 && v.Valid {
		return errors.New("there is nothing to validate")
	}
	if word != "text" {
		if err := a.encode(word, v); err != nil {
			return err
		}
	} else if v.Valid {
		what := count(len(v.Containers), "container")
		if n := len(v.Configs); n > 0 {
			what += " and " + count(n, "config")
		}
		fmt.Fprintf(a.out, "valid: %s in %s\n", what, count(v.Files, "file"))
	} else {
		a.printProblems(m.problems)
	}
	if !v.Valid {
		return &exit{code: exitError}
	}
	return nil
}

// nothingIn are notes about directories without a manifest.
func (m *manifests) nothingIn() (notes []string) {
	for _, dir := range m.empty {
		notes = append(notes, fmt.Sprintf("no *.yaml, *.yml or *.json in %s; folders in it are not read", dir))
	}
	return notes
}

// printProblems writes problems for people and editors, and how many there are.
func (a *app) printProblems(problems spec.Problems) {
	for _, p := range problems {
		a.printProblem(p.Error())
	}
	fmt.Fprintln(a.err, a.err.red(count(len(problems), "problem")))
}

// printProblem writes one problem with its hint.
func (a *app) printProblem(text string) {
	text, hint, _ := strings.Cut(text, hintMark)
	fmt.Fprintln(a.err, clean(text))
	if hint != "" {
		fmt.Fprintf(a.err, "  %s %s\n", a.err.bold("hint:"), clean(hint))
	}
}

// note writes a line that is no problem, "" for none.
func (a *app) note(text string) {
	if text != "" {
		fmt.Fprintln(a.err, a.err.dim("note: "+clean(text)))
	}
}

// count is "1 file", "2 files".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
