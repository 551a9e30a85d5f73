package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newDiff(a *app) *cobra.Command {
	var format *format
	var s scope
	cmd := &cobra.Command{
		Use:   "diff PATH...",
		Short: "Compare manifests with what the agent follows, field by field",
		Long: `Compare manifests (files, directories, - for stdin) with those that the agent has accepted, field by field.
A field that only says its default is no difference. "live" changes are applied in place, "replace" ones
give a new instance. Containers that are not in PATH differ if PATH is a directory, and are left out if it is a file.`,
		Example:     "  reconciler diff manifests/\n  reconciler diff manifests/ --source /etc/reconciler/manifests.d",
		Annotations: exits("0  no differences", "1  error, problems in manifests included", "2  differences"),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, fmt.Errorf("diff needs files, directories, or - for stdin"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.diff(cmd.Context(), args, s, format.word)
		},
	}
	format = outputFlag(cmd, "text", "json", "yaml")
	s.flags(cmd)
	return cmd
}

func (a *app) diff(ctx context.Context, paths []string, s scope, word string) error {
	m, err := load(paths, a.in, nil)
	if err != nil {
		return err
	}
	if len(m.problems) > 0 {
		a.printProblems(m.problems)
		return &exit{code: exitError}
	}
	objects, err := s.objects(ctx, a.client(), m.dirs)
	if err != nil {
		return err
	}
	differences := compare(objects, m)
	a.note(m.sensitive())
	if word != "text" {
		err = a.encode(word, map[string]any{"differences": append([]difference{}, differences...)})
	} else {
		a.printDifferences(differences)
	}
	if err == nil && len(differences) > 0 {
		return &exit{code: exitDifferences}
	}
	return err
}

// marks are how the verbs of a difference look, after terraform.
var marks = map[string]cell{
	verbCreate:  {text: "+", colour: green},
	verbUpdate:  {text: "~", colour: yellow},
	verbReplace: {text: "±", colour: yellow},
	verbRemove:  {text: "-", colour: red},
}

// printDifferences writes one line a container and one a changed field.
func (a *app) printDifferences(differences []difference) {
	if len(differences) == 0 {
		fmt.Fprintln(a.out, "no differences")
		return
	}
	counts := map[string]int{}
	for _, d := range differences {
		counts[d.Verb]++
		mark := marks[d.Verb]
		fmt.Fprintf(a.out, "%s %-7s %s  %s\n", a.out.paint(mark.colour, mark.text), d.Verb, a.out.bold(d.Name), a.out.dim(cleanLine(d.Source)))
		for _, c := range d.Changes {
			a.printChange(c)
		}
	}
	fmt.Fprintf(a.out, "\n%d to create, %d to update in place, %d to replace, %d to remove\n",
		counts[verbCreate], counts[verbUpdate], counts[verbReplace], counts[verbRemove])
}

func (a *app) printChange(c spec.Change) {
	colour := plain
	if c.Class == spec.ClassReplace {
		colour = yellow
	}
	fmt.Fprintf(a.out, "    %-7s %s: %s -> %s\n", a.out.paint(colour, c.Class), clean(c.Path), value(c.Old), value(c.New))
}

// value is one side of a change.
func value(text string) string {
	if text == "" {
		return "(not said)"
	}
	return cleanLine(text)
}
