package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newDescribe(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME...",
		Short: "Show one container in full, for people",
		Long:  "Show a container in full: what it is, how it is doing and why, and what happened to it lately.",
		Example: `  reconciler describe web
  reconciler get web -o yaml        # the same for programs`,
		Annotations:       exits("0  shown", "1  error, or a NAME that does not exist"),
		Args:              atLeastOneName,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := a.members(cmd.Context(), args)
			if err != nil {
				return err
			}
			for i, name := range names {
				if i > 0 {
					fmt.Fprintln(a.out)
				}
				if err := a.describe(cmd.Context(), name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) describe(ctx context.Context, name string) error {
	c := a.client()
	o, err := c.Get(ctx, name)
	if err != nil {
		return err
	}
	events, err := c.Events(ctx, name, 0)
	if err != nil {
		return err
	}
	images, err := c.Images(ctx, name)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrNotExist) { // an older agent has no such route
		return err
	}
	a.describeStatus(o)
	a.describeSpec(o.Spec)
	a.describeConditions(o.Status.Conditions)
	a.describeImages(images.Items)
	a.describeEvents(events)
	return nil
}

// field prints one line of a description, unless there is nothing to say.
func (a *app) field(name, value string) {
	if value != "" {
		fmt.Fprintf(a.out, "%-14s %s\n", name+":", cleanLine(value))
	}
}

func (a *app) describeStatus(o spec.Object) {
	s, c := o.Status, o.Status.Container
	a.field("Name", o.Metadata.Name)
	a.field("Labels", labelText(o.Metadata.Labels))
	a.field("Annotations", labelText(o.Metadata.Annotations))
	a.field("Source", sourceText(s.Source))
	a.field("Generation", fmt.Sprintf("%d (observed %d)", o.Metadata.Generation, s.ObservedGeneration))
	fmt.Fprintf(a.out, "%-14s %s\n", "Phase:", a.out.paint(phaseColour(s.Phase), clean(string(s.Phase))))
	a.field("Message", message(o))
	_, hint, _ := strings.Cut(o.Status.Message, hintMark)
	a.field("Hint", hint)
	a.field("Wanted", wanted(o))
	a.field("Rollout", rolloutText(s.Rollout))
	if c.Pid != 0 {
		a.field("Process", fmt.Sprintf("%d, started %s ago", c.Pid, age(c.StartedAt)))
	}
	if c.Instance != 0 {
		a.field("Instance", fmt.Sprintf("%d", c.Instance))
	}
	a.field("Restarts", fmt.Sprint(c.RestartCount))
	if c.OOMKills > 0 {
		a.field("OOM kills", fmt.Sprint(c.OOMKills))
	}
	a.field("Last exit", exitText(c.LastExit))
	a.describeJob(s.Job)
	a.field("Cgroup", c.Cgroup)
	for _, p := range s.Pending {
		a.field("Pending", p.Verb+": "+p.Cause)
	}
}

// describeJob prints when a job ran, and will.
func (a *app) describeJob(j spec.JobStatus) {
	if !j.Next.IsZero() {
		a.field("Next run", j.Next.Local().Format(time.DateTime))
	}
	if j.LeftOut > 0 {
		a.field("Left out", fmt.Sprintf("%d runs, because one went on", j.LeftOut))
	}
	for i := range j.Runs {
		run := j.Runs[len(j.Runs)-1-i]
		a.field("Run", fmt.Sprintf("%s, for %s: %s", run.StartedAt.Local().Format(time.DateTime), run.FinishedAt.Sub(run.StartedAt).Round(time.Millisecond), exitText(&run)))
	}
}

// describeSpec prints what the manifest says, one line a field, as Diff names it.
func (a *app) describeSpec(s spec.ContainerSpec) {
	fmt.Fprintf(a.out, "%s\n", a.out.bold("Spec:"))
	for _, f := range joinLists(spec.Diff(spec.Container{}, spec.Container{Spec: s})) {
		fmt.Fprintf(a.out, "  %-24s %s\n", clean(f.Path), cleanLine(f.New))
	}
}

// joinLists makes one field of each list of texts: command[0], command[1] become command, with quotes where a shell wants them.
func joinLists(fields []spec.Change) (joined []spec.Change) {
	for _, f := range fields {
		list, index := f.Path, ""
		if at := strings.LastIndexByte(f.Path, '['); at >= 0 {
			list, index = f.Path[:at], strings.TrimSuffix(f.Path[at+1:], "]")
		}
		if _, err := strconv.Atoi(index); err != nil {
			joined = append(joined, f)
			continue
		}
		if last := len(joined) - 1; last >= 0 && joined[last].Path == list {
			joined[last].New += " " + word(f.New)
			continue
		}
		joined = append(joined, spec.Change{Path: list, New: word(f.New)})
	}
	return joined
}

// word is a text as one word.
func word(text string) string {
	if strings.HasPrefix(text, `"`) || !strings.ContainsAny(text, " \t'") {
		return text
	}
	return strconv.Quote(text)
}

func (a *app) describeConditions(conditions []spec.Condition) {
	if len(conditions) == 0 {
		return
	}
	fmt.Fprintf(a.out, "%s\n", a.out.bold("Conditions:"))
	t := newTable("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE")
	t.indent = "  "
	for _, c := range conditions {
		t.add(cell{text: string(c.Type)}, cell{text: string(c.Status), colour: conditionColour(c)}, cell{text: c.Reason},
			cell{text: age(c.LastTransitionTime)}, cell{text: c.Message})
	}
	t.draw(a.out)
}

// describedImages is how many images a description shows.
const describedImages = 5

func (a *app) describeImages(images []spec.Image) {
	if len(images) == 0 {
		return
	}
	t := a.part("Images:", "ID", "AGE", "SIZE", "FROZEN", "CAUSE", "NOTE")
	if earlier := len(images) - describedImages; earlier > 0 {
		fmt.Fprintf(a.out, "  %s\n", a.out.dim(fmt.Sprintf("%d earlier: see `reconciler checkpoint ls %s`", earlier, images[0].Container)))
		images = images[earlier:]
	}
	for _, i := range images {
		t.add(cell{text: i.ID}, cell{text: age(i.CreatedAt)}, cell{text: sizeText(float64(i.Bytes))}, cell{text: quick(i.Frozen)},
			cell{text: orDash(i.Cause)}, imageNote(i))
	}
	t.draw(a.out)
}

// badWhenTrue are the conditions whose truth is bad news.
var badWhenTrue = []spec.ConditionType{spec.ConditionStalled, spec.ConditionDrifted}

// badWhenFalse are those whose falsehood is, if not the worst.
var badWhenFalse = []spec.ConditionType{spec.ConditionReady, spec.ConditionCheckpointed, spec.ConditionRestored}

func conditionColour(c spec.Condition) colour {
	switch bad := slices.Contains(badWhenTrue, c.Type); {
	case c.Status == spec.Unknown:
		return yellow
	case bad && c.Status == spec.True, c.Type == spec.ConditionAccepted && c.Status == spec.False:
		return red
	case slices.Contains(badWhenFalse, c.Type) && c.Status == spec.False:
		return yellow
	default:
		return plain
	}
}

// describedEvents is how many events a description shows.
const describedEvents = 15

func (a *app) describeEvents(events []api.Event) {
	if len(events) == 0 {
		return
	}
	fmt.Fprintf(a.out, "%s\n", a.out.bold("Events:"))
	if earlier := len(events) - describedEvents; earlier > 0 {
		fmt.Fprintf(a.out, "  %s\n", a.out.dim(fmt.Sprintf("%d earlier: see `reconciler events %s`", earlier, events[0].Name)))
		events = events[earlier:]
	}
	t := newTable("AGE", "REASON", "MESSAGE")
	t.indent = "  "
	for _, e := range events {
		t.add(cell{text: age(e.Time)}, cell{text: e.Reason, colour: eventColour(e)}, cell{text: eventMessage(e)})
	}
	t.draw(a.out)
}
