package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

type plan struct {
	*app
	format   *format
	detailed bool
	scope    scope
	policy   policyFlag
	files    []string
	state    string
}

func newPlan(a *app) *cobra.Command {
	p := &plan{app: a}
	cmd := &cobra.Command{
		Use:   "plan [PATH...]",
		Short: "Show what would be done, and why",
		Long: `Show what would be done, and why; nothing is done.

Without PATH: what the agent would do now to make the node agree with its manifests.
With PATH (files, directories, - for stdin; or -f): what would be done if the agent followed these instead. Containers that
are not in PATH are removed if PATH is a directory, and left out if it is a file.
Where no agent answers, PATH is compared with an empty node, so everything is to be created; with --state, with what
a node's agent said of itself. This needs neither root nor an agent.

-o json is {"differences": [...]}, each with name, verb (create, update, replace, remove), source and changes, each of which has
path, class (live, replace), old and new. It is an interface: keys are added, not changed.`,
		Example: `  reconciler plan                          # what is still to do?
  reconciler plan manifests/               # what would this change?
  reconciler plan manifests/ --detailed-exitcode || notify
  reconciler get -o json > state.json      # on the node; then, in CI:
  reconciler plan -f manifests/ --state state.json --detailed-exitcode -o json`,
		Annotations: exits("0  shown; with --detailed-exitcode: nothing to do", "1  error, problems in manifests included",
			"2  with --detailed-exitcode: there is something to do"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args = append(slices.Clone(args), p.files...)
			switch {
			case len(args) == 0 && (p.state != "" || p.policy.file != ""):
				return usage(cmd, errors.New("--state and --policy are for manifests: name them"))
			case p.state == "-" && slices.Contains(args, "-"):
				return usage(cmd, errors.New("stdin is either manifests or the state"))
			case len(args) == 0:
				return p.current(cmd.Context())
			}
			return p.proposed(cmd.Context(), args)
		},
	}
	p.format = outputFlag(cmd, "text", "json", "yaml")
	cmd.Flags().BoolVar(&p.detailed, "detailed-exitcode", false, "exit with 2 when there is something to do")
	cmd.Flags().StringArrayVarP(&p.files, "filename", "f", nil, "a `PATH`, as an argument is; may be repeated")
	cmd.Flags().StringVar(&p.state, "state", "", "compare with a `FILE` of `reconciler get -o json` instead of an agent; - for stdin")
	p.scope.flags(cmd)
	p.policy.flag(cmd.Flags())
	return cmd
}

// current asks the agent for its plan.
func (p *plan) current(ctx context.Context) error {
	now, err := p.client().Plan(ctx)
	if err != nil {
		return err
	}
	if p.format.word != "text" {
		err = p.encode(p.format.word, now)
	} else {
		err = p.printActions(ctx, now.Actions)
	}
	return firstError(err, func() error { return p.end(len(now.Actions)) })
}

func (p *plan) printActions(ctx context.Context, actions []api.Action) error {
	if len(actions) == 0 {
		return p.printWaiting(ctx)
	}
	t := newTable("NAME", "ACTION", "CAUSE")
	for _, action := range actions {
		t.add(cell{text: action.Name}, cell{text: action.Verb, colour: yellow}, cell{text: action.Cause})
	}
	t.draw(p.out)
	return nil
}

// printWaiting says why there is nothing to do: all is well, or only time or a person can help.
func (p *plan) printWaiting(ctx context.Context) error {
	list, err := p.client().List(ctx)
	if err != nil {
		return err
	}
	t := newTable("NAME", "PHASE", "MESSAGE")
	for _, o := range list.Items {
		if !readyGoal.reached(o, true) {
			t.add(cell{text: o.Metadata.Name}, cell{text: string(o.Status.Phase), colour: phaseColour(o.Status.Phase)}, cell{text: message(o)})
		}
	}
	if !t.drawable() {
		fmt.Fprintln(p.out, "nothing to do: the node agrees with its manifests")
		return nil
	}
	fmt.Fprintln(p.out, "nothing to do now; not as their manifests say:")
	t.draw(p.out)
	return nil
}

// proposed compares manifests with what the agent follows.
func (p *plan) proposed(ctx context.Context, paths []string) error {
	policy, err := p.policy.read(readAnyone)
	if err != nil {
		return err
	}
	m, err := load(paths, p.in, policy)
	if err != nil {
		return err
	}
	if len(m.problems) > 0 {
		p.printProblems(m.problems)
		return &exit{code: exitError}
	}
	objects, err := p.before(ctx, m.dirs)
	switch {
	case errors.Is(err, client.ErrNotRunning):
		fmt.Fprintln(p.err, p.err.dim("no agent answers: comparing with an empty node"))
	case err != nil:
		return err
	}
	differences := compare(objects, m)
	p.note(m.sensitive())
	if p.format.word != "text" {
		err = p.encode(p.format.word, map[string]any{"differences": append([]difference{}, differences...)})
	} else {
		err = nil
		p.printDifferences(differences)
	}
	return firstError(err, func() error { return p.end(len(differences)) })
}

// before is what manifests from dirs are compared with.
func (p *plan) before(ctx context.Context, dirs []string) ([]spec.Object, error) {
	if p.state == "" {
		return p.scope.objects(ctx, p.client(), dirs)
	}
	objects, err := readState(p.state, p.in)
	if err != nil || p.scope.source == "" {
		return objects, err
	}
	chosen := fromSource(objects, p.scope.source)
	if len(chosen) == 0 && len(objects) > 0 {
		p.note(fmt.Sprintf("nothing in %s is from source %s: comparing with an empty one", p.state, p.scope.source))
	}
	return chosen, nil
}

func (p *plan) end(left int) error {
	if p.detailed && left > 0 {
		return &exit{code: exitDifferences}
	}
	return nil
}

// scope chooses which objects of the agent a set of manifests stands for.
type scope struct{ source string }

func (s *scope) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.source, "source", "", "compare with one `SOURCE` of the agent, the path of its directory (default: PATH, if that is one, else all)")
}

// objects are those of the agent that manifests from dirs stand for.
func (s *scope) objects(ctx context.Context, c *client.Client, dirs []string) ([]spec.Object, error) {
	list, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	sources, err := c.Sources(ctx)
	if err != nil {
		return nil, err
	}
	wanted := s.source
	if wanted == "" && len(dirs) == 1 {
		wanted = dirs[0]
	}
	if path, err := filepath.Abs(wanted); err == nil {
		for _, source := range sources {
			if wanted != "" && (source.Name == wanted || source.Path == path) {
				return fromSource(list.Items, source.Path), nil
			}
		}
	}
	if s.source != "" {
		return nil, withHint(fmt.Errorf("the agent has no source %q", s.source), "`reconciler sources` lists them")
	}
	return list.Items, nil
}
