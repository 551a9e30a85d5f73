package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

func newSources(a *app) *cobra.Command {
	var format *format
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "Show the directories of manifests and what is wrong with them",
		Long: `Show the directories of manifests as the agent last read them: how many containers each gives, every
problem of their files, and removals that are held back (see prune).`,
		Annotations: exits("0  all readable, no problems", "1  error, a directory that cannot be read, or problems"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := a.client().Sources(cmd.Context())
			if err != nil {
				return err
			}
			if format.word != "table" {
				err = a.encode(format.word, sources)
			} else {
				a.printSources(sources)
			}
			if err == nil && troubled(sources) {
				return &exit{code: exitError}
			}
			return err
		},
	}
	format = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

// troubled tells whether a source cannot be read, or has problems.
func troubled(sources []api.Source) bool {
	for _, s := range sources {
		if !s.OK || len(s.Problems) > 0 {
			return true
		}
	}
	return false
}

func (a *app) printSources(sources []api.Source) {
	t := newTable("SOURCE", "REVISION", "CONTAINERS", "READ", "STATE")
	for _, s := range sources {
		t.add(cell{text: s.Name, end: true}, cell{text: orDash(s.Revision)}, cell{text: fmt.Sprint(s.Objects)}, cell{text: orDash(age(s.ReadAt))}, sourceState(s))
	}
	t.draw(a.out)
	for _, s := range sources {
		for _, p := range s.Problems {
			fmt.Fprintf(a.out, "\n%s\n", clean(p))
		}
	}
	a.printBlocked(sources)
}

func sourceState(s api.Source) cell {
	switch {
	case len(s.Blocked) > 0:
		return cell{text: count(len(s.Blocked), "removal") + " held back", colour: yellow}
	case !s.OK:
		return cell{text: "unavailable: nothing is removed", colour: red}
	case len(s.Problems) > 0:
		return cell{text: count(len(s.Problems), "problem"), colour: yellow}
	default:
		return cell{text: "ok", colour: green}
	}
}
