package ocicmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

func (c *command) kill(f *flags, args []string) (int, error) {
	all := f.yes("all,a", "send it to every process of the container")
	args, err := f.parse(args, 1, 2)
	if err != nil {
		return 1, err
	}
	word := "SIGTERM"
	if len(args) == 2 {
		word = args[1]
	}
	sig, err := oci.ParseSignal(word)
	if err != nil {
		return 1, err
	}
	return 0, c.Kill(c.ctx, args[0], sig, *all)
}

func (c *command) delete(f *flags, args []string) (int, error) {
	force := f.yes("force,f", "end it first if it runs; one that does not exist is no error")
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	return 0, c.Delete(c.ctx, args[0], *force)
}

func (c *command) state(f *flags, args []string) (int, error) {
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	s, err := c.State(args[0])
	if err != nil {
		return 1, err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(c.out, "%s\n", text)
	}
	return 0, err
}

func (c *command) pause(f *flags, args []string) (int, error) {
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	return 0, c.Pause(c.ctx, args[0])
}

func (c *command) resume(f *flags, args []string) (int, error) {
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	return 0, c.Resume(c.ctx, args[0])
}

func (c *command) list(f *flags, args []string) (int, error) {
	format := f.text("format,f", "FORMAT", "table", "table (default) or json")
	quiet := f.yes("quiet,q", "show the ids alone")
	if _, err := f.parse(args, 0, 0); err != nil {
		return 1, err
	}
	all, err := c.List()
	if err != nil {
		return 1, err
	}
	owner := "root"
	if u, err := user.LookupId("0"); err == nil {
		owner = u.Username
	}
	for i := range all {
		all[i].Owner = owner
	}
	switch {
	case *quiet:
		for _, s := range all {
			fmt.Fprintln(c.out, s.ID)
		}
	case *format == "json":
		return 0, json.NewEncoder(c.out).Encode(all)
	case *format == "table":
		w := tabwriter.NewWriter(c.out, 12, 1, 3, ' ', 0)
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, s := range all {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
		}
		return 0, w.Flush()
	default:
		return 1, fmt.Errorf("invalid format option %q, want table or json", *format)
	}
	return 0, nil
}

func (c *command) ps(f *flags, args []string) (int, error) {
	format := f.text("format,f", "FORMAT", "table", "table (default) or json")
	args, err := f.parse(args, 1, -1)
	if err != nil {
		return 1, err
	}
	pids, err := c.Processes(args[0])
	if err != nil {
		return 1, err
	}
	switch *format {
	case "json":
		return 0, json.NewEncoder(c.out).Encode(pids)
	case "table":
		return 0, processTable(c.out, pids, args[1:])
	}
	return 1, fmt.Errorf("invalid format option %q, want table or json", *format)
}

// processTable shows what ps(1) says of some processes.
func processTable(out io.Writer, pids []int, options []string) error {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	text, err := exec.Command("ps", options...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ps: %w: %s", err, strings.TrimSpace(string(text)))
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return errors.New("the output of ps has no column PID")
	}
	fmt.Fprintln(out, lines[0])
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		if pid, err := strconv.Atoi(fields[column]); err == nil && slices.Contains(pids, pid) {
			fmt.Fprintln(out, line)
		}
	}
	return nil
}
