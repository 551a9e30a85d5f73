package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newDrift(a *app) *cobra.Command {
	var format *format
	var repair bool
	cmd := &cobra.Command{
		Use:   "drift NAME",
		Short: "Compare a running container with its manifest",
		Long: `Compare what runs of a container with what its start made, as far as the kernel lets one read it back: limits, cgroups,
namespaces, mounts, network, kernel parameters, devices. The agent does so by itself and puts back what it can, see run
--drift-interval; this only looks, and with --repair has the agent put it back now.

REPAIR says whether the agent puts it back, with the same processes; what it does not needs a restart, or a person.`,
		Example:           "  reconciler drift web\n  reconciler drift web --repair\n  reconciler drift web -o json | jq -r '.items[].field'",
		Annotations:       exits("0  nothing differs, or nothing runs", "1  error, or a NAME that does not exist", "2  something differs, or did before --repair"),
		Args:              oneName,
		ValidArgsFunction: a.completeOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			look := a.client().Drift
			if repair {
				look = a.client().RepairDrift
			}
			drifts, err := look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printDrifts(drifts, format.word)
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "have the agent put back at once what it can")
	format = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *app) printDrifts(drifts []spec.Drift, format string) (err error) {
	switch {
	case format != "table":
		err = a.encode(format, map[string]any{"items": drifts})
	case len(drifts) == 0:
		fmt.Fprintln(a.err, "nothing differs")
	default:
		t := newTable("FIELD", "FOUND", "WANTED", "REPAIR")
		for _, d := range drifts {
			repair := "no"
			if d.Repairable {
				repair = "yes"
			}
			t.add(cell{text: d.Field}, cell{text: cmp.Or(d.Found, "nothing")}, cell{text: cmp.Or(d.Wanted, "nothing")}, cell{text: repair})
		}
		t.draw(a.out)
	}
	if err == nil && len(drifts) > 0 {
		return &exit{code: exitDifferences}
	}
	return err
}
