package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/client"
)

const defaultRunDir = "/run/reconciler"

// socketName is the agent's socket below its run directory.
const socketName = "reconciler.sock"

// app is what every verb gets from outside.
type app struct {
	in       io.Reader
	out, err *screen
	socket   string
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: newScreen(out), err: newScreen(errOut)}
	root := newRoot(a)
	root.SetArgs(args)
	return a.report(root.ExecuteContext(ctx))
}

// The groups of verbs, in the order of the help.
const (
	groupAgent      = "agent"
	groupManifests  = "manifests"
	groupContainers = "containers"
	groupNode       = "node"
)

func newRoot(a *app) *cobra.Command {
	cobra.EnableCommandSorting = false // the help has the order of verbs
	root := &cobra.Command{
		Use:   "reconciler",
		Short: "Make this machine agree with a directory of manifests",
		Long: `reconciler runs the containers that a directory of YAML manifests describes, and keeps them so.

Start with:
  reconciler run --manifests DIR     the agent
  reconciler get                     what runs
  reconciler explain                 what a manifest can say`,
		Args:          unknownVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetHelpFunc(a.help)
	root.SetUsageFunc(func(cmd *cobra.Command) error { a.help(cmd, nil); return nil })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "`PATH` of the agent's socket (default $RECONCILER_SOCKET, else "+defaultRunDir+"/"+socketName+")")
	root.AddGroup(
		&cobra.Group{ID: groupAgent, Title: "Agent"},
		&cobra.Group{ID: groupManifests, Title: "Manifests (no agent, no root)"},
		&cobra.Group{ID: groupContainers, Title: "Containers"},
		&cobra.Group{ID: groupNode, Title: "Node"},
	)
	root.AddCommand(verbs(a)...)
	root.SetHelpCommandGroupID(groupNode)
	root.SetCompletionCommandGroupID(groupNode)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// verbs are all commands, in the order of the help.
func verbs(a *app) []*cobra.Command {
	var all []*cobra.Command
	for _, group := range []struct {
		id   string
		cmds []*cobra.Command
	}{
		{groupAgent, []*cobra.Command{newRun(a), newConfig(a), newReload(a)}},
		{groupManifests, []*cobra.Command{newValidate(a), newPlan(a), newDiff(a), newExplain(a), newSchema(a)}},
		{groupContainers, []*cobra.Command{
			newGet(a), newDescribe(a), newTop(a), newPs(a), newDrift(a), newEvents(a), newLogs(a), newExec(a), newAttach(a), newWait(a),
			newOverride(a, "pause"), newOverride(a, "resume"), newOverride(a, "stop"), newOverride(a, "start"), newOverride(a, "suspend"),
			newOverride(a, "clear"), newRollout(a), newRestart(a), newKill(a), newCheckpoint(a), newRestore(a),
		}},
		{groupNode, []*cobra.Command{newSources(a), newPrune(a), newDrain(a), newUndrain(a), newShutdown(a), newDoctor(a), newDebug(a), newWeb(a), newOCI(a), newVersion(a)}},
	} {
		for _, cmd := range group.cmds {
			cmd.GroupID = group.id
			all = append(all, cmd)
		}
	}
	return all
}

func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "`reconciler --help` lists the verbs"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return withHint(fmt.Errorf("unknown verb %q", args[0]), hint)
}

// client is the agent's client, by --socket, $RECONCILER_SOCKET or the default.
func (a *app) client() *client.Client { return client.New(a.socketPath()) }

func (a *app) socketPath() string {
	if a.socket != "" {
		return a.socket
	}
	if path := os.Getenv("RECONCILER_SOCKET"); path != "" {
		return path
	}
	return defaultRunDir + "/" + socketName
}
