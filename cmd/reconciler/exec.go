package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exit codes of verbs that end as a command in a container does, as env(1) and sh(1) have them.
const (
	exitOwn           = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// execution is the verb exec.
type execution struct {
	*app
	exec spec.Exec
	env  []string
}

func newExec(a *app) *cobra.Command {
	x := &execution{app: a}
	cmd := &cobra.Command{
		Use:   "exec [flags] NAME [--] COMMAND [ARG...]",
		Short: "Run a command in a container",
		Long: `Run a command in a container that runs: in its namespaces, its root file system and its limits, with its
user, environment and rights unless you say otherwise. The command ends with this verb, and with it all that it
has started, except with --detach.

Flags stand before NAME. With -it the command has a terminal, and this one is passed on to it key by key.
Without -t, output is passed on byte for byte, and SIGINT, SIGTERM, SIGHUP and SIGQUIT go to the command.`,
		Example: `  reconciler exec -it web sh
  reconciler exec web -- cat /etc/hostname
  tar c . | reconciler exec -i web tar x -C /srv
  reconciler exec -u daemon -e DEBUG=1 -w /tmp web env`,
		Annotations: exits("0    the command's code, whatever it is; 128 and the number of the signal that ended it",
			"125  this verb failed: no agent, no such container, it does not run or is paused, usage",
			"126  the command cannot be executed", "127  the command was not found"),
		Args:              nameAndCommand,
		ValidArgsFunction: a.completeOneName,
		RunE:              func(cmd *cobra.Command, args []string) error { return sessionError(x.run(cmd.Context(), args)) },
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows NAME is the command's
	flags.BoolVarP(&x.exec.Stdin, "stdin", "i", false, "pass the input on; without it, the command has none")
	flags.BoolVarP(&x.exec.TTY, "tty", "t", false, "give the command a terminal")
	flags.StringArrayVarP(&x.env, "env", "e", nil, "set a variable, `NAME=VALUE`, or pass NAME on; may be repeated")
	flags.StringVarP(&x.exec.User, "user", "u", "", "run as a `USER`: name or uid, with an optional :group")
	flags.StringVarP(&x.exec.WorkingDir, "workdir", "w", "", "start in a `DIR` of the container")
	flags.StringArrayVar(&x.exec.Capabilities.Add, "cap-add", nil, "add a `CAPABILITY`; may be repeated")
	flags.StringArrayVar(&x.exec.Capabilities.Drop, "cap-drop", nil, "take a `CAPABILITY` away, ALL for all; may be repeated")
	flags.BoolVarP(&x.exec.Detach, "detach", "d", false, "only start it; it runs on by itself, its output dropped")
	for _, name := range []string{"cap-add", "cap-drop"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(spec.CapabilityNames, cobra.ShellCompDirectiveNoFileComp))
	}
	cmd.SetFlagErrorFunc(ownUsage)
	return cmd
}

// ownUsage is a wrong command line of a verb whose code may be a command's.
func ownUsage(cmd *cobra.Command, err error) error { return &exit{exitOwn, usage(cmd, err)} }

func nameAndCommand(cmd *cobra.Command, args []string) error {
	name, command := splitCommand(args)
	switch {
	case name == "" || len(command) == 0:
		return ownUsage(cmd, errors.New("exec needs the name of a container and a command"))
	case len(args) > 1 && args[1] != "--" && strings.HasPrefix(command[0], "-"):
		return ownUsage(cmd, fmt.Errorf("%s stands after the name of the container; flags stand before it", command[0]))
	}
	return nil
}

// splitCommand takes name and command apart; -- may stand between them.
func splitCommand(args []string) (name string, command []string) {
	if len(args) == 0 {
		return "", nil
	}
	name, command = args[0], args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	return name, command
}

func (x *execution) run(ctx context.Context, args []string) error {
	var name string
	name, x.exec.Command = splitCommand(args)
	x.exec.Env = variables(x.env)
	x.exec.Capabilities.Add = capabilityNames(x.exec.Capabilities.Add)
	x.exec.Capabilities.Drop = capabilityNames(x.exec.Capabilities.Drop)
	t := &talk{app: x.app, input: x.exec.Stdin, raw: x.exec.TTY && x.exec.Stdin, forward: !x.exec.TTY}
	if x.exec.TTY && !x.exec.Detach {
		var ok bool
		if t.console, ok = x.consoleOf(x.exec.Stdin); !ok {
			return errNoTerminal
		}
		x.exec.Size = t.console.size()
	}
	var err error
	if t.session, err = x.client().Exec(ctx, name, x.exec); err != nil {
		return err
	}
	if x.exec.Detach {
		fmt.Fprintf(x.out, "%s: started process %d\n", name, t.session.Pid())
		return nil
	}
	return t.run(ctx)
}

// variables are the variables that -e says. Of one without a value this process's own is taken, if it has one.
func variables(said []string) map[string]string {
	env := map[string]string{}
	for _, text := range said {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			value, ok = os.LookupEnv(name)
		}
		if ok {
			env[name] = value
		}
	}
	return env
}

// capabilityNames are capabilities as a manifest has them: NET_ADMIN, of cap_net_admin too.
func capabilityNames(said []string) []string {
	names := make([]string, len(said))
	for i, name := range said {
		names[i] = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	}
	return names
}

// sessionError gives what fails before or beside a command its code. A command's own code has no error with it.
func sessionError(err error) error {
	e, own := errors.AsType[*exit](err)
	switch {
	case err == nil, own && e.err == nil:
		return err
	case errors.Is(err, spec.ErrCommandNotFound):
		return &exit{exitNotFound, err}
	case errors.Is(err, spec.ErrCommandNotExecutable):
		return &exit{exitNotExecutable, err}
	default:
		return &exit{exitOwn, err}
	}
}
