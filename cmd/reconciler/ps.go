package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newPs(a *app) *cobra.Command {
	var format *format
	cmd := &cobra.Command{
		Use:   "ps NAME",
		Short: "List the processes of a container",
		Long: `List the processes of a container, those of cgroups it made itself included.

PID and PPID are the numbers on this node, INSIDE is the one that the container knows. STATE is the
kernel's letter, see proc_pid_stat(5). CPU is processor time, RSS resident memory. A name or command
line is what the process itself says; a name in brackets stands for one without a command line.`,
		Example:           "  reconciler ps web\n  reconciler ps web -o json | jq '.items[].command'",
		Annotations:       exits("0  listed, also when there are none", "1  error, or a NAME that does not exist"),
		Args:              oneName,
		ValidArgsFunction: a.completeOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ps(cmd.Context(), args[0], format.word)
		},
	}
	format = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *app) ps(ctx context.Context, name, format string) error {
	processes, err := a.client().Processes(ctx, name)
	switch {
	case err != nil:
		return err
	case format != "table":
		return a.encode(format, map[string]any{"items": processes})
	case len(processes) == 0:
		fmt.Fprintln(a.err, "no processes")
		return nil
	}
	t := newTable("PID", "INSIDE", "PPID", "UID", "STATE", "THREADS", "AGE", "CPU", "RSS", "COMMAND")
	for _, p := range processes {
		t.add(
			cell{text: fmt.Sprint(p.Pid)}, cell{text: fmt.Sprint(p.ContainerPid)}, cell{text: fmt.Sprint(p.PPid)}, cell{text: fmt.Sprint(p.UID)},
			cell{text: p.State}, cell{text: fmt.Sprint(p.Threads)}, cell{text: age(p.StartedAt)}, cell{text: clockText(p.CPUUsec)},
			cell{text: sizeText(float64(p.RSS))}, cell{text: commandText(p)},
		)
	}
	t.draw(a.out)
	return nil
}

// commandText is a command line as a shell would take it, as far as that goes.
func commandText(p spec.Process) string {
	words := make([]string, len(p.Command))
	for i, w := range p.Command {
		words[i] = word(w)
	}
	return cmp.Or(strings.Join(words, " "), "["+p.Comm+"]")
}
