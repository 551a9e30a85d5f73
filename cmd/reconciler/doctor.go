package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

// required are the features without which no container runs.
var required = []*feature.Feature{
	feature.Privileges, feature.CgroupV2, feature.CgroupKill, feature.CloneIntoCgroup, feature.MountSetattr,
}

// seldom are the features whose lack is usual: the controllers that only cgroup v1 has, one of two security modules, another process 1.
var seldom = []*feature.Feature{feature.NetCls, feature.NetPrio, feature.AppArmor, feature.SELinux, feature.Systemd}

// finding is one line of the doctor's report.
type finding struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Purpose string `json:"purpose,omitzero"`
	Detail  string `json:"detail,omitzero"`
	Remedy  string `json:"remedy,omitzero"`
}

// The states of a finding.
const (
	stateOK      = "ok"
	stateAbsent  = "absent"  // as on most machines
	stateMissing = "missing" // something does not work without it
	stateBroken  = "broken"  // nothing works without it
	stateUnknown = "unknown"
)

var stateColours = map[string]colour{stateOK: green, stateAbsent: dim, stateMissing: yellow, stateBroken: red, stateUnknown: yellow}

func newDoctor(a *app) *cobra.Command {
	var format *format
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this machine lacks",
		Long: `Check what this machine can do and lacks: kernel features, cgroup controllers, agent, keeper, criu; with a
remedy for each lack. Run it as the user who is to run the agent. Probes leave nothing behind.

ok: there. absent: not there, which is usual; what it is for does not work. missing: the same, and many a
manifest needs it. broken: no container runs without it. unknown: could not be tried.`,
		Annotations: exits("0  containers can run here", "1  something that is required is missing, or error"),
		Args:        noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := a.examine(cmd.Context())
			if format.word != "text" {
				if err := a.encode(format.word, map[string]any{"findings": findings}); err != nil {
					return err
				}
			} else {
				a.printFindings(findings)
			}
			if slices.ContainsFunc(findings, func(f finding) bool { return f.State == stateBroken }) {
				return &exit{code: exitError}
			}
			return nil
		},
	}
	format = outputFlag(cmd, "text", "json", "yaml")
	return cmd
}

func (a *app) examine(ctx context.Context) []finding {
	var findings []finding
	for _, f := range feature.All() {
		findings = append(findings, findFeature(f))
	}
	return append(append(findings, a.findAgent(ctx), a.findKeeper(ctx)), findCriu(ctx)...)
}

func findFeature(f *feature.Feature) finding {
	found := finding{Name: f.Name, State: stateOK, Purpose: f.Purpose}
	err := f.Probe()
	if err == nil {
		return found
	}
	found.Remedy = f.Remedy
	found.Detail, _, _ = strings.Cut(err.Error(), "\n")
	if unsupported, ok := errors.AsType[*feature.UnsupportedError](err); ok {
		found.Detail, found.Remedy = unsupported.Why(), unsupported.Remedy
	}
	switch _, inconclusive := errors.AsType[*feature.InconclusiveError](err); {
	case inconclusive:
		found.State = stateUnknown
	case slices.Contains(required, f):
		found.State = stateBroken
	case slices.Contains(seldom, f):
		found.State = stateAbsent
	default:
		found.State = stateMissing
	}
	return found
}

// answerTime is how long agent and keeper may take to say who they are.
const answerTime = 5 * time.Second

func (a *app) findAgent(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	found := finding{Name: "agent", State: stateOK, Purpose: "answers on " + a.socketPath()}
	v, err := a.client().Version(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		found.State, found.Detail = stateBroken, fmt.Sprintf("it does not answer within %s", answerTime)
	case err == nil:
		found.Detail = fmt.Sprintf("version %s, pid %d, up %s", v.Version, v.Pid, age(v.StartedAt))
	case errors.Is(err, client.ErrNotRunning):
		found.State, found.Detail, found.Remedy = stateAbsent, "not running", "start it with `reconciler run`"
	default:
		found.State, found.Detail, found.Remedy = stateUnknown, err.Error(), hintOf(err)
	}
	return found
}

func (a *app) findKeeper(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	found := finding{Name: "keeper", State: stateOK, Purpose: "parent of all containers"}
	c, err := keeper.Dial(ctx, filepath.Dir(a.socketPath()))
	if err != nil {
		found.State, found.Detail = stateAbsent, "not running; the agent starts it"
		switch {
		case errors.Is(err, fs.ErrPermission):
			found.State, found.Detail = stateUnknown, "only root may ask it"
		case errors.Is(err, context.DeadlineExceeded):
			found.State, found.Detail = stateBroken, fmt.Sprintf("it does not answer within %s", answerTime)
			found.Remedy = "see what holds it: `ps -o pid,stat,wchan,args -C reconciler`; one that is stopped, T, goes on with kill -CONT"
		}
		return found
	}
	defer c.Close()
	if hello, err := c.Hello(ctx); err == nil {
		found.Detail = fmt.Sprintf("pid %d", hello.Pid)
	}
	return found
}

// findCriu is criu with what it can do here. It is tried on a process of its own, not taken at its word.
func findCriu(ctx context.Context) []finding {
	found := finding{Name: "criu", State: stateOK, Purpose: "checkpoint and restore"}
	tool, err := criu.Find(ctx, "")
	if err != nil {
		found.State, found.Detail, found.Remedy = stateMissing, err.Error(), hintOf(err)
		return []finding{found}
	}
	found.Detail = tool.Version + " at " + tool.Path
	if feature.Privileges.Probe() != nil {
		found.State, found.Detail = stateUnknown, found.Detail+"; only root may try it"
		return []finding{found}
	}
	all := []finding{found}
	proof := criu.Prove(ctx, tool)
	for _, a := range criu.Abilities {
		all = append(all, findAbility(proof, a.Ability, a.Purpose))
	}
	return all
}

func findAbility(proof criu.Proof, a criu.Ability, purpose string) finding {
	found := finding{Name: string(a), State: stateOK, Purpose: purpose, Detail: proof.Lacks[a]}
	var hint string
	found.Detail, hint, _ = strings.Cut(found.Detail, hintMark)
	switch err := proof.Check(a); {
	case err == nil && a == criu.Checkpoint:
		found.Detail = fmt.Sprintf("dumped and restored a process in %v", proof.Took.Round(time.Millisecond))
	case err == nil:
	case a == criu.PreCopy: // kernels are seldom built for it
		found.State = stateAbsent
	case a == criu.Checkpoint:
		found.State, found.Remedy = stateMissing, cmp.Or(hint, "install criu 4.2 or newer: scripts/criu.sh does, on Debian")
	default:
		found.State, found.Remedy = stateMissing, hint
	}
	return found
}

func (a *app) printFindings(findings []finding) {
	t := newTable("NAME", "STATE", "WHAT FOR", "DETAIL")
	for _, f := range findings {
		t.add(cell{text: f.Name}, cell{text: f.State, colour: stateColours[f.State]}, cell{text: f.Purpose}, cell{text: f.Detail})
	}
	t.draw(a.out)
	var remedies []string // each once, whatever it helps against
	lacking := map[string][]string{}
	for _, f := range findings {
		if f.Remedy == "" || f.State == stateAbsent && f.Name != "agent" {
			continue
		}
		if lacking[f.Remedy] == nil {
			remedies = append(remedies, f.Remedy)
		}
		lacking[f.Remedy] = append(lacking[f.Remedy], f.Name)
	}
	if len(remedies) > 0 {
		fmt.Fprintln(a.out)
	}
	for _, remedy := range remedies {
		fmt.Fprintf(a.out, "%s %s: %s\n", a.out.bold("hint:"), clean(strings.Join(lacking[remedy], ", ")), clean(remedy))
	}
}
