package simnode_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutant is one line of pkg/reconcile made wrong. The line is the only one of its file that reads so, apart from the space around it.
type mutant struct {
	file, line, with string
	harm             string // what it would mean to a user
}

// mutants are what the simulation has to notice. A line that was edited is mended here: what is there to be broken is said by harm.
var mutants = []mutant{
	{
		"next.go", `case w.Desired != nil && (w.Desired.Hold != "" || w.Desired.Accepted.Reason == ReasonRemoving && w.Down.IsZero()):`,
		`case w.Desired != nil && w.Desired.Accepted.Reason == ReasonRemoving && w.Down.IsZero():`,
		"what a newer agent wrote down, or nobody did, is changed by guesses",
	},
	{"admit.go", `case own != nil && !own.OK():`, `case false:`, "a directory that cannot be read removes its containers"},
	{"next.go", `if in.ID == current.ID {`, `if in.ID >= current.ID || live(in) {`, "a successor is started beside what runs"},
	{"admit.go", `case file != nil:`, `case false:`, "a broken edit removes its containers"},
	{"prune.go", `case !missing || s.ReadAt.Sub(since) < Settle:`, `case false:`, "an editor that takes a file away and puts it back ends the container"},
	{"restart.go", `case !c.Spec.Restart.After(exit):`, `case false:`, "a job that is done is run again"},
	{"noterun.go", `r.Runs.Streak = 0`, `r.Runs.Streak += 0`, "a container that crashed once in a while, for months, is down for a minute each time"},
	{"restart.go", `if runs.Streak == 0 || e.FinishedAt.After(now) {`, `if now.After(e.FinishedAt) || runs.Streak >= 0 {`, "what crashes at once is started again and again without a pause"},
	{
		"exit.go", `var requestedReasons = []string{spec.ExitStopped, spec.ExitStopTimeout, spec.ExitStopSignalUnhandled, spec.ExitCheckpointed}`,
		`var requestedReasons = []string{spec.ExitCheckpointed}`, "a stop counts as a crash: a container that is never restarted does not come back when it is to run again",
	},
	{"agent.go", `n.record, n.saved = r, r.Sum()`, `r.Override.State = ""; n.record, n.saved = r, r.Sum()`, "what was stopped by hand runs again after an upgrade of the agent"},
	{"next.go", `case !in.Resources.Equal(in.Wanted):`, `case false:`, "a limit that somebody lifted by hand stays lifted"},
	{"noterun.go", `r.NextInstance = max(r.NextInstance, other.ID+1)`, `_ = other`, "after a reboot an instance has the number, and the images, of another"},
	{
		"act.go", `var writeAhead = map[string]bool{VerbCreate: true, VerbDestroy: true, VerbRestore: true}`,
		`var writeAhead = map[string]bool{VerbRestore: true}`, "an agent that dies at the wrong moment leaves a container that nobody knows",
	},
	{"act.go", `if err := a.save(n); err != nil && first {`, `if err := a.save(n); err != nil && first && n.id == "" {`, "with a full disk containers are made that the next agent does not know"},
	{
		"retire.go", `if limit := in.Stopping.Deadline.Add(overdue); limit.After(w.now) {`, `if limit := in.Stopping.Deadline.Add(overdue); limit.IsZero() {`,
		"what was asked to stop is killed before its time is over",
	},
	{"retire.go", `case live(in) && in.Stopping.IsZero():`, `case live(in) && in.Stopping.IsZero() && !keep:`, "what is replaced is killed instead of stopped"},
	{"run.go", `case w.state() != spec.StatePaused && paused:`, `case false:`, "what was paused never goes on"},
	{
		"down.go", `down := func() bool { return a.queue.Idle() && len(a.up()) == 0 }`, `down := func() bool { return a.queue.Idle() || len(a.up()) == 0 }`,
		"a node goes down while its containers are still asked to stop",
	},
	{
		"ladder.go", `if err := spec.Restorable(i, target, in.Defaults); err != nil {`, `if err := spec.Restorable(i, target, in.Defaults); err != nil && i.ID == "" {`,
		"an image of another spec is restored",
	},
	{"ladder.go", `} else if bad.Quick >= poisonLimit {`, `} else if bad.Quick > 1000*poisonLimit {`, "an image of a process that is about to end is restored for ever"},
	{
		"observe.go", `if !n.far.looked || len(n.observed)+len(shown[id]) > 0 && !reflect.DeepEqual(n.observed, shown[id]) {`,
		`if _ = reflect.DeepEqual; !n.far.looked {`, "what changes without an event is never seen",
	},
	{
		"session.go", `return a.session(ctx, event, []spec.InstancePhase{spec.InstanceRunning}, func(ctx context.Context, id uint64) (spec.Session, error) {`,
		`return a.session(ctx, event, []spec.InstancePhase{spec.InstanceRunning, spec.InstancePaused}, func(ctx context.Context, id uint64) (spec.Session, error) {`,
		"an exec into what is frozen hangs",
	},
	{"entry.go", `r.Removed = false`, `r.Removed = r.Removed && d.Hold == ""`, "a manifest that was put back is taken for a removed one after the agent's next start"},
	{"downplan.go", `if !live(in) || !in.Stopping.IsZero() {`, `if !live(in) || !in.Stopping.IsZero() || in.Phase == spec.InstancePaused {`, "what is paused is killed when its node goes down, instead of asked to stop"},
	{"order.go", `if s.action == nil || w.Order.Waits == "" {`, `if s.action == nil || w.Order.Waits == "" || w.Name != "" {`, "what depends on others is started before they are so far"},
	{"order.go", `if s.action == nil || w.Order.After == "" {`, `if s.action == nil || w.Order.After == "" || w.Name != "" {`, "a database ends before those that write to it"},
	{"job.go", `r.Job.Last, r.Job.Tick = t.Time, record.Tick{}`, `r.Job.Tick = record.Tick{}`, "a run of a schedule is begun again and again"},
	{
		"rollout.go", `good, ok := r.Good()`, `good, ok := record.Revision{}, len(r.History) > 0; if ok { good = r.History[len(r.History)-1] }`,
		"a manifest that fails makes room for another that has failed",
	},
	{"suspend.go", `return w.Desired != nil && (w.Record.Override.Suspended || w.wanted.Spec.Suspend)`, `return false`, "what is suspended is changed"},
	{"retire.go", `case spec.DeletionOrphan:`, `case "never":`, "what was to stay without its manifest is removed"},
	{"restart.go", `limit, exit := c.Spec.Restart.MaxRestarts, w.exit(in)`, `limit, exit := 0, w.exit(in)`, "what was to be given up is started for ever"},
	{"restart.go", `if end := w.end(in, c); !end.IsZero() && !w.now.Before(end) {`, `if end := w.end(in, c); end.IsZero() && w.now.IsZero() {`, "what had its time is started again"},
	{"circle.go", `for len(graph) > 0 {`, `for len(graph) > len(a.Desired) {`, "containers wait for each other for ever"},
	{"health.go", `Suspended: frozen || in.Phase == spec.InstancePaused || !in.Stopping.IsZero(),`, `Suspended: frozen,`, "what is paused is asked how it does, and ended because it says nothing"},
	{"agent.go", `a.down = drained(inventory.Drain)`, `_ = inventory.Drain`, "a drained node fills again when its agent is restarted"},
	{"next.go", `if !ok && len(w.Observed) == 0 && w.completed() {`, `if !ok && len(w.Observed) == 0 && w.completed() && w.Name == "" {`, "a job that has completed runs again after each boot"},
	{"run.go", `case !paused && !w.health(in).Live:`, `case !paused && !w.health(in).Ready:`, "what is busy for a moment is ended"},
	{"rollout.go", `return !w.now.Before(r.HealthySince.Add(enough))`, `return true`, "a manifest counts as proven before its time"},
	{"undo.go", `r.Rollback = record.Rollback{}`, `_ = r`, "a manifest that failed once is never tried again, whatever somebody says"},
	{"noterun.go", `if until := r.Override.Until; !until.IsZero() && !now.Before(until) {`, `if until := r.Override.Until; !until.IsZero() && now.IsZero() {`, "what was stopped for an hour is stopped for ever"},
}

// sampled is how many of them a normal run breaks.
const sampled = 3

// TestMutants breaks one line after another, in an overlay: nothing of the tree changes. Each has to be noticed within 1,000 seeds.
func TestMutants(t *testing.T) {
	list := mutants
	if os.Getenv("RECONCILER_SOAK") == "" {
		list = list[:sampled]
	}
	for _, m := range list {
		t.Run(m.file+"/"+m.harm, func(t *testing.T) {
			began := time.Now()
			binary := m.build(t)
			built := time.Since(began)
			cmd := exec.Command(binary, "-test.run", "TestSimulation$", "-test.timeout", "10m")
			cmd.Env = append(os.Environ(), "RECONCILER_SEED=", "RECONCILER_SEEDS=1000", "RECONCILER_STEPS=100", "RECONCILER_SHRINK=0")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("survives 1,000 seeds: %s\n\t%s\n\t%s", m.harm, m.line, m.with)
			}
			noticed := regexp.MustCompile(`seed \d+: .*|panic: .*`).Find(out)
			if noticed == nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			t.Logf("%s: %s; built in %v, %v in all", m.harm, noticed[:min(len(noticed), 120)], built.Round(time.Second), time.Since(began).Round(time.Second))
		})
	}
}

// TestMutantsFit looks whether every line that is to be broken is still there.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		if _, _, err := m.broken(); err != nil {
			t.Error(err)
		}
	}
}

// broken is the file as it must not be.
func (m mutant) broken() (path string, text []byte, err error) {
	path, err = filepath.Abs("../../pkg/reconcile/" + m.file)
	if err != nil {
		return path, nil, err
	}
	text, err = os.ReadFile(path)
	if err != nil {
		return path, nil, err
	}
	lines, places := bytes.Split(text, []byte("\n")), 0
	for i, line := range lines {
		if strings.TrimSpace(string(line)) == m.line {
			lines[i] = []byte(m.with)
			places++
		}
	}
	if places != 1 {
		return path, nil, fmt.Errorf("%d lines of %s read %q: mend the list of mutants, so that it says %q", places, m.file, m.line, m.harm)
	}
	return path, bytes.Join(lines, []byte("\n")), nil
}

// build builds the simulation with the line as it must not be.
func (m mutant) build(t *testing.T) string {
	path, text, err := m.broken()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken, overlay, binary := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "simnode.test")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{broken: text, overlay: replace} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	return binary
}
