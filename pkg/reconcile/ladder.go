package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// first begins the first run of an instance: from an image when the latest run ended in one, when somebody asked for it, or when the manifest says so.
func (w *world) first(in spec.Instance, c spec.Container) step {
	cause := fmt.Sprintf("instance %d has no process yet", in.ID)
	switch {
	case w.restoreAsked(in), w.Record.Suspended, w.Record.Images.Climbing, c.Spec.Checkpoint.RestoreOnStart == spec.RestoreLatest, c.Spec.Checkpoint.From != "":
		return w.climb(in, cause)
	}
	return w.start(in, cause)
}

// restoreAsked tells whether somebody asked that the next run of an instance begins from an image.
func (w *world) restoreAsked(in spec.Instance) bool { return restorePending(w.Record.Restore, in) }

func restorePending(r record.Restore, in spec.Instance) bool {
	return r.Image != "" && (in.ID > r.Instance && in.Starts == 0 || in.ID == r.Instance && in.Starts == r.Starts)
}

// climb begins a run from the best rung of the ladder that holds: the image that was asked for, the container's own from the newest to the oldest,
// those its manifest names, its command. Each that does not is left out with its reason, in no time.
func (w *world) climb(in spec.Instance, cause string) step {
	if u := w.Unlisted; u.Err != nil && !u.stalled() {
		return step{wake: u.Retry, held: &u}
	}
	rungs, missing := w.rungs(in)
	if why := cmp.Or(w.Unable, w.Record.Images.Unable); why != "" {
		return w.cold(in, cause, "cold only: "+why)
	}
	why := missing
	for _, i := range rungs {
		if problem := w.unfit(i, in); problem != "" {
			why = append(why, problem)
			continue
		}
		origin := record.Origin{Instance: in.ID, Starts: in.Starts + 1, Rung: w.rungOf(i), Image: i.Ref(), Why: strings.Join(why, "; ")}
		return w.try(Action{
			Verb: VerbRestore, Instance: in.ID, Image: i.Ref(), Origin: origin,
			Cause: fmt.Sprintf("%s; from %s, %s", cause, i.Ref(), rungTexts[origin.Rung]),
		})
	}
	if u := w.Unlisted; u.Err != nil {
		why = append(why, u.Err.Error())
	}
	if len(why) == 0 && (w.Record.Suspended || w.restoreAsked(in)) {
		why = append(why, "no image is there")
	}
	return w.cold(in, cause, strings.Join(why, "; "))
}

// rungTexts are the rungs for people.
var rungTexts = map[string]string{
	record.RungLatest: "its newest image", record.RungOlder: "an older image of it", record.RungGolden: "a golden image",
}

// cold begins a run from the command, although an image was looked for. That there was none to be expected needs no reason.
func (w *world) cold(in spec.Instance, cause, why string) step {
	a := Action{Verb: VerbStart, Instance: in.ID, Cause: cause}
	if why != "" {
		a.Origin = record.Origin{Instance: in.ID, Starts: in.Starts + 1, Rung: record.RungCold, Why: why}
		a.Cause += "; cold start: " + why
		if strings.HasPrefix(why, coldOnly) {
			a.Cause = cause + "; " + why
		}
	}
	return w.try(a)
}

// coldOnly begins what is said of a node that restores nothing.
const coldOnly = "cold only: "

// maxRungs is how many images of one container are tried, the newest: all rungs of a ladder have to be remembered, see maxBad.
const maxRungs = 15

// rungs are the images to begin from, the best first, and what is missing of those that were named.
func (w *world) rungs(in spec.Instance) (list []spec.Image, missing []string) {
	add := func(named string, some []spec.Image) {
		if len(some) == 0 && named != "" {
			missing = append(missing, fmt.Sprintf("no image %s is there", named))
		}
		for _, i := range some[:min(len(some), maxRungs)] {
			if !slices.ContainsFunc(list, func(other spec.Image) bool { return other.Ref() == i.Ref() }) {
				list = append(list, i)
			}
		}
	}
	if w.Unlisted.Err != nil {
		return nil, nil
	}
	if w.restoreAsked(in) {
		add(w.Record.Restore.Image, named(w.Images, w.Record.Restore.Image))
	}
	add("", named(w.Images, w.Name))
	if from := w.wanted.Spec.Checkpoint.From; from != "" {
		add(from, named(w.Images, from))
	}
	return list, missing
}

// named are the images that NAME/ID or NAME is said of, the newest first.
func named(all []spec.Image, ref string) (list []spec.Image) {
	for _, i := range all {
		if i.Ref() == ref || i.Container == ref {
			list = append(list, i)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID > list[j].ID })
	return list
}

// rungOf says which rung an image is.
func (w *world) rungOf(i spec.Image) string {
	own := named(w.Images, w.Name)
	switch {
	case i.Container != w.Name, i.Ref() == w.wanted.Spec.Checkpoint.From:
		return record.RungGolden
	case i.ID == own[0].ID:
		return record.RungLatest
	}
	return record.RungOlder
}

// unfit says why nothing begins from an image; "" when nothing is known that speaks against it.
func (w *world) unfit(i spec.Image, in spec.Instance) string {
	if i.Problem != "" {
		return fmt.Sprintf("image %s is of no use: %s", i.Ref(), i.Problem)
	}
	if bad := badImage(w.Record.Images.Bad, i.Ref()); bad.Problem != "" {
		return fmt.Sprintf("image %s could not be restored: %s", i.Ref(), bad.Problem)
	} else if bad.Quick >= poisonLimit {
		return fmt.Sprintf("what began from image %s ended within %s, %d times", i.Ref(), spec.Duration(quickEnd), bad.Quick)
	}
	if why := w.stale(i); why != "" {
		return why
	}
	target := in.Spec
	if target.Metadata.Name == "" {
		target = w.wanted
	}
	if err := spec.Restorable(i, target, in.Defaults); err != nil {
		return err.Error()
	}
	return ""
}
