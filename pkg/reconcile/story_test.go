package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestStories plays the stories in testdata: manifests, what happens, and what has to come of it. A line is a step, as in the
// table of steps below; the files of the archive are manifests to put.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { newStory(t, archive).play(string(archive.Comment)) })
		})
	}
}

// story is a machine, a folder and an agent in one bubble of time.
type story struct {
	t       *testing.T
	texts   map[string]string
	machine *simnode.Machine
	disk    *simnode.Disk
	folders map[string]*simnode.Folder
	mu      sync.Mutex
	did     map[string][]string // verbs since they were last asked for, by name
	order   []string            // all of them, NAME:VERB
	pids    map[string]int
	dies    string // the verb in the middle of which the agent is killed, NAME:VERB

	node   *simnode.Node
	agent  *reconcile.Agent
	prune  reconcile.PrunePolicy
	denied string // in a command, by the policy of the next agent
	stop   func()
}

func newStory(t *testing.T, archive *txtar.Archive) *story {
	s := &story{
		t: t, texts: map[string]string{}, machine: simnode.New(), disk: simnode.NewDisk(),
		folders: map[string]*simnode.Folder{"main": simnode.NewFolder("main")},
		did:     map[string][]string{}, pids: map[string]int{}, prune: reconcile.PruneGuarded,
	}
	for _, f := range archive.Files {
		s.texts[f.Name] = string(f.Data)
	}
	s.machine.Judge = func(verb, name string, id uint64, _ []spec.Instance) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.did[name] = append(s.did[name], verb+strconv.FormatUint(id, 10))
		s.order = append(s.order, name+":"+verb+strconv.FormatUint(id, 10))
		if s.dies == name+":"+verb {
			s.dies = ""
			s.node.Die()
		}
	}
	return s
}

func (s *story) play(script string) {
	defer func() {
		if s.stop != nil {
			s.stop()
		}
	}()
	for i, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		step, ok := steps[words[0]]
		if !ok {
			s.t.Fatalf("line %d: no step %q", i+1, words[0])
		}
		if err := step(s, words[1:]); err != nil {
			s.t.Fatalf("line %d: %s: %v%s", i+1, line, err, s.state())
		}
	}
}

// state is everything, for a person who has to find out.
func (s *story) state() string {
	var b strings.Builder
	if s.agent == nil {
		return ""
	}
	objects, _ := s.agent.Objects()
	for _, o := range objects {
		fmt.Fprintf(&b, "\n  %s gen %d: %+v", o.Metadata.Name, o.Metadata.Generation, o.Status)
	}
	for _, e := range s.agent.Events("", 0) {
		fmt.Fprintf(&b, "\n  event %s %s %s (%d)", e.Name, e.Reason, e.Message, e.Count)
	}
	return b.String()
}

// start starts an agent.
func (s *story) start() error {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.node = s.machine.Attach(nil, func() {})
	agent, err := reconcile.New(reconcile.Config{
		Node: s.node, Store: s.disk.Store(s.node), Sources: s.sources(), Prune: s.prune, Log: logr.Discard(), Workers: 2,
		Allows: s.allows(),
	})
	if err != nil {
		cancel()
		return err
	}
	done := make(chan error)
	go func() { done <- agent.Run(ctx) }()
	s.agent = agent
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
		s.stop = nil
	}
	return nil
}

func (s *story) sources() (list []reconcile.Source) {
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		list = append(list, s.folders[name])
	}
	return list
}

// steps are the words of a story. A sleep lets everything that can happen at once happen first.
var steps map[string]func(s *story, args []string) error

func init() {
	steps = map[string]func(s *story, args []string) error{
		// agent start | stop | kill, and once for a run that ends by itself
		"agent": (*story).stepAgent,
		"deny":  func(s *story, args []string) error { s.denied = args[0]; return nil },
		// rules [EVERY]: what deny and prune said counts for the agent that runs, and how often it looks deeply
		"rules": func(s *story, args []string) error {
			every, err := time.ParseDuration(append(args, "1m")[0])
			s.agent.SetRules(reconcile.Rules{Prune: s.prune, DeepLook: every, Allows: s.allows()})
			return s.asked(err)
		},
		"prune": func(s *story, args []string) error { s.prune = reconcile.PrunePolicy(args[0]); return nil },
		// put FILE [as FILE] [in FOLDER]
		"put":    (*story).stepPut,
		"remove": func(s *story, args []string) error { s.folder(args).Remove(args[0]); return s.rest("0s") },
		"hide":   func(s *story, args []string) error { s.folder(args).Hide(true); return s.rest("0s") },
		"show":   func(s *story, args []string) error { s.folder(args).Hide(false); return s.rest("0s") },
		"folder": func(s *story, args []string) error { s.folders[args[0]] = simnode.NewFolder(args[0]); return nil },
		"sleep":  func(s *story, args []string) error { return s.rest(args[0]) },
		// what hands do
		"exit":  (*story).stepExit,
		"drift": (*story).stepDrift,
		// stray NAME FIELD FOUND WANTED [reported]: somebody changes it; found as wanted, somebody puts it back
		"stray": func(s *story, args []string) error {
			s.machine.Stray(args[0], spec.Drift{Field: args[1], Found: args[2], Wanted: args[3], Repairable: len(args) == 4})
			return nil
		},
		// mend NAME lasting | refused | undone: what comes of repairs
		"mend": func(s *story, args []string) error {
			s.machine.Mend(args[0], map[string]simnode.Mending{"refused": simnode.Refused, "undone": simnode.Undone}[args[1]])
			return nil
		},
		"starve": (*story).stepStarve,
		"press": func(s *story, args []string) error {
			s.machine.Press(args[0], spec.EventKind(args[1]), 1)
			return s.rest("0s")
		},
		// notify NAME ready | unready | unheard, which is ready that nobody hears
		"notify": func(s *story, args []string) error {
			if heard := s.machine.Notify(args[0], args[1] != "unready"); heard == (args[1] == "unheard") {
				return fmt.Errorf("heard: %v", heard)
			}
			return s.rest("0s")
		},
		"lose":   func(s *story, args []string) error { s.machine.LoseRecord(args[0]); return nil },
		"tear":   func(s *story, args []string) error { s.disk.Tear(args[0]); return nil },
		"wipe":   func(s *story, args []string) error { s.machine.Wipe(args[0]); return nil },
		"freeze": func(s *story, args []string) error { s.machine.Freeze(args[0], true); return s.rest("0s") },
		"thaw":   func(s *story, args []string) error { s.machine.Freeze(args[0], false); return s.rest("0s") },
		// damage NAME [hidden], poison NAME AFTER, unable [WHY...], uncheckpointable NAME, checkpointable NAME, full, roomy
		"damage": func(s *story, args []string) error { return s.machine.Damage(args[0], len(args) == 1) },
		"poison": (*story).stepPoison,
		"unable": func(s *story, args []string) error { s.machine.Unable(strings.Join(args, " ")); return nil },
		"uncheckpointable": func(s *story, args []string) error {
			s.machine.Uncheckpointable(args[0], true)
			return nil
		},
		"checkpointable": func(s *story, args []string) error {
			s.machine.Uncheckpointable(args[0], false)
			return nil
		},
		"slow": func(s *story, args []string) error {
			d, err := time.ParseDuration(args[0])
			s.machine.Slow(d)
			return err
		},
		"full":   func(s *story, _ []string) error { s.machine.Full(true); return nil },
		"roomy":  func(s *story, _ []string) error { s.machine.Full(false); return nil },
		"reboot": func(s *story, args []string) error { s.machine.Reboot(); return nil },
		// what people ask of the agent
		"override": func(s *story, args []string) error {
			return s.override(args)
		},
		"clear": func(s *story, args []string) error {
			return s.asked(s.agent.Override(s.t.Context(), args[0], spec.Override{}))
		},
		// undo NAME [GENERATION]
		"undo": func(s *story, args []string) error {
			generation, _ := strconv.ParseInt(append(args, "0")[1], 10, 64)
			return s.asked(s.agent.Undo(s.t.Context(), args[0], generation))
		},
		// answer NAME healthy | failing | refusing | hanging: what a probe finds
		"answer": func(s *story, args []string) error {
			s.machine.Answer(args[0], map[string]simnode.Answer{"healthy": simnode.Healthy, "failing": simnode.Failing, "hanging": simnode.Hanging}[args[1]])
			return nil
		},
		"drain":   func(s *story, args []string) error { return s.asked(s.agent.Drain(s.t.Context(), len(args) > 0)) },
		"undrain": func(s *story, _ []string) error { return s.asked(s.agent.Undrain(s.t.Context())) },
		"restart": func(s *story, args []string) error { return s.asked(s.agent.Restart(s.t.Context(), args[0])) },
		"kill":    func(s *story, args []string) error { return s.asked(s.agent.Kill(s.t.Context(), args[0], args[1])) },
		"confirm": (*story).stepConfirm,
		// checkpoint NAME [stop] [keep], restore NAME [N | OF]: from the N-th newest, or from the newest of another
		"checkpoint": (*story).stepCheckpoint,
		"restore":    (*story).stepRestore,
		"shutdown":   (*story).stepShutdown,
		"refused":    (*story).stepRefused,
		// dies NAME:VERB: the agent is killed in the middle of it, when it has taken effect
		"dies": func(s *story, args []string) error { s.dies = args[0]; return nil },
		// what has to be
		// holds NAME CONFIG KEY [VALUE...]: what it was given
		"holds": (*story).stepHolds,
		// config NAME CONFIG WORDS...: what its status says: found, seen, sensitive, hash
		"config": (*story).stepConfig,
		"phase":  (*story).stepPhase,
		"gone":   (*story).stepGone,
		"did":    (*story).stepDid,
		// rollout NAME STATE IN-FORCE [MESSAGE...]
		"rollout":  (*story).stepRollout,
		"same-pid": (*story).stepSamePid,
		// order NAME:VERB...: what was done, in this order, perhaps with others between, since it was last asked for
		"order":     (*story).stepOrder,
		"condition": (*story).stepCondition,
		"no":        (*story).stepNoCondition,
		"event":     (*story).stepEvent,
		"restarts":  (*story).stepRestarts,
		"count":     (*story).stepCount,
		"oom-kills": (*story).stepOOMKills,
		"problem":   (*story).stepProblem,
		"plan":      (*story).stepPlan,
		"exit-code": (*story).stepExitCode,
		"images":    (*story).stepImages,
		// sets A B: their newest images were taken together
		"sets": (*story).stepSets,
		// forget-images NAME: somebody removes them all
		"forget-images": (*story).stepForgetImages,
	}
}

// allows is the policy by what deny has said until now.
func (s *story) allows() func(spec.Container) bool {
	denied := s.denied
	return func(c spec.Container) bool {
		return denied == "" || !strings.Contains(strings.Join(c.Spec.Command, " "), denied)
	}
}

func (s *story) folder(args []string) *simnode.Folder {
	if i := slices.Index(args, "in"); i >= 0 {
		return s.folders[args[i+1]]
	}
	return s.folders["main"]
}

// rest lets time pass and everything come to rest.
func (s *story) rest(d string) error {
	pause, err := time.ParseDuration(d)
	time.Sleep(pause)
	synctest.Wait()
	return err
}

func (s *story) asked(err error) error {
	synctest.Wait()
	return err
}

func (s *story) stepAgent(args []string) error {
	switch args[0] {
	case "start":
		if err := s.start(); err != nil {
			return err
		}
	case "stop":
		s.stop()
	case "kill":
		s.node.Die()
		s.stop()
	case "once":
		s.node = s.machine.Attach(nil, func() {})
		agent, err := reconcile.New(reconcile.Config{Node: s.node, Store: s.disk.Store(s.node), Sources: s.sources(), Prune: s.prune})
		if err != nil {
			return err
		}
		s.agent = agent
		err = agent.RunOnce(s.t.Context())
		if want := strings.Join(args[1:], " "); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			return fmt.Errorf("got %v, want %q", err, want)
		}
	}
	return s.rest("0s")
}

func (s *story) stepPut(args []string) error {
	name := args[0]
	if i := slices.Index(args, "as"); i >= 0 {
		name = args[i+1]
	}
	text, ok := s.texts[args[0]]
	if !ok {
		return fmt.Errorf("no file %s in the story", args[0])
	}
	s.folder(args).Put(name, text)
	return s.rest("0s")
}

func (s *story) stepExit(args []string) error {
	code, err := strconv.Atoi(args[1])
	if err == nil && !s.machine.Crash(args[0], code) {
		err = fmt.Errorf("%s does not run", args[0])
	}
	synctest.Wait()
	return err
}

func (s *story) stepDrift(args []string) error {
	limit, err := spec.ParseLimit(args[1])
	s.machine.Drift(args[0], spec.Resources{Memory: spec.Memory{Max: limit}})
	return err
}

func (s *story) stepConfirm(args []string) error {
	for _, source := range s.agent.Sources() {
		if len(source.Blocked) > 0 {
			return s.asked(s.agent.ConfirmPrune(s.t.Context(), source.Name, source.Hash))
		}
	}
	return fmt.Errorf("nothing is blocked")
}

func (s *story) stepPhase(args []string) error {
	o, err := s.agent.Object(args[0])
	if err != nil {
		return err
	}
	if string(o.Status.Phase) != args[1] || !strings.Contains(o.Status.Message, strings.Join(args[2:], " ")) {
		return fmt.Errorf("got %s %q", o.Status.Phase, o.Status.Message)
	}
	s.pids[args[0]] = o.Status.Container.Pid
	return nil
}

func (s *story) stepGone(args []string) error {
	if _, err := s.agent.Object(args[0]); err == nil {
		return fmt.Errorf("it is shown")
	}
	if left := s.machine.Instances()[args[0]]; len(left) > 0 {
		return fmt.Errorf("left: %v", left)
	}
	if slices.Contains(s.disk.Names(), args[0]) {
		return fmt.Errorf("its record is left")
	}
	return nil
}

func (s *story) stepDid(args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.did[args[0]]
	delete(s.did, args[0])
	if !slices.Equal(got, args[1:]) {
		return fmt.Errorf("got %v", got)
	}
	return nil
}

func (s *story) stepOrder(args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := 0
	for _, done := range s.order {
		if at < len(args) && done == args[at] {
			at++
		}
	}
	if at < len(args) {
		return fmt.Errorf("no %s in its place: %v", args[at], s.order)
	}
	s.order = nil
	return nil
}

// override NAME STATE [TIME]
func (s *story) override(args []string) error {
	o := spec.Override{State: spec.State(args[1])}
	if strings.EqualFold(args[1], "suspended") {
		o = spec.Override{Suspended: true}
	}
	if len(args) > 2 {
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		o.Until = time.Now().Add(d)
	}
	return s.asked(s.agent.Override(s.t.Context(), args[0], o))
}

func (s *story) stepRollout(args []string) error {
	o, err := s.agent.Object(args[0])
	r := o.Status.Rollout
	if err == nil && (string(r.State) != args[1] || strconv.FormatInt(r.InForce, 10) != args[2] || !strings.Contains(r.Message, strings.Join(args[3:], " "))) {
		err = fmt.Errorf("got %+v", r)
	}
	return err
}

func (s *story) stepSamePid(args []string) error {
	o, err := s.agent.Object(args[0])
	if err == nil && o.Status.Container.Pid != s.pids[args[0]] {
		err = fmt.Errorf("pid was %d, is %d", s.pids[args[0]], o.Status.Container.Pid)
	}
	return err
}

// condition NAME TYPE STATUS REASON [MESSAGE...]
func (s *story) stepCondition(args []string) error {
	o, err := s.agent.Object(args[0])
	if err != nil {
		return err
	}
	for _, c := range o.Status.Conditions {
		if string(c.Type) != args[1] {
			continue
		}
		if string(c.Status) != args[2] || c.Reason != args[3] || !strings.Contains(c.Message, strings.Join(args[4:], " ")) {
			return fmt.Errorf("got %s %s %q", c.Status, c.Reason, c.Message)
		}
		return nil
	}
	return fmt.Errorf("no such condition")
}

// no NAME TYPE: the condition is not there
func (s *story) stepNoCondition(args []string) error {
	o, err := s.agent.Object(args[0])
	for _, c := range o.Status.Conditions {
		if string(c.Type) == args[1] {
			return fmt.Errorf("got %s %s %q", c.Status, c.Reason, c.Message)
		}
	}
	return err
}

// event NAME REASON [MESSAGE...]; the name "-" is the node
func (s *story) stepEvent(args []string) error {
	name := strings.TrimPrefix(args[0], "-")
	for _, e := range s.agent.Events("", 0) {
		if e.Name == name && e.Reason == args[1] && strings.Contains(e.Message, strings.Join(args[2:], " ")) {
			return nil
		}
	}
	return fmt.Errorf("no such event")
}

func (s *story) stepRestarts(args []string) error {
	o, err := s.agent.Object(args[0])
	if err == nil && strconv.Itoa(o.Status.Container.RestartCount) != args[1] {
		err = fmt.Errorf("got %d", o.Status.Container.RestartCount)
	}
	return err
}

// starve NAME KILLS | first | first-seen: the kernel kills so many children, or process 1, perhaps seen before it has ended
func (s *story) stepStarve(args []string) error {
	switch args[1] {
	case "first", "first-seen":
		s.machine.StarveFirst(args[0], args[1] == "first-seen")
	default:
		kills, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return err
		}
		s.machine.Starve(args[0], kills)
	}
	return s.rest("0s")
}

// count NAME REASON N: so many events of a reason there were
func (s *story) stepCount(args []string) error {
	sum := 0
	for _, e := range s.agent.Events(args[0], 0) {
		if e.Reason == args[1] {
			sum += e.Count
		}
	}
	if strconv.Itoa(sum) != args[2] {
		return fmt.Errorf("got %d", sum)
	}
	return nil
}

func (s *story) stepOOMKills(args []string) error {
	o, err := s.agent.Object(args[0])
	if err == nil && strconv.FormatUint(o.Status.Container.OOMKills, 10) != args[1] {
		err = fmt.Errorf("got %d", o.Status.Container.OOMKills)
	}
	return err
}

func (s *story) stepProblem(args []string) error {
	want := strings.Join(args, " ")
	var all []string
	for _, source := range s.agent.Sources() {
		for _, p := range source.Problems {
			if all = append(all, p); strings.Contains(p, want) {
				return nil
			}
		}
	}
	return fmt.Errorf("got %q", all)
}

// plan [NAME VERB CAUSE...]: what is planned first
func (s *story) stepPlan(args []string) error {
	plan, err := s.agent.Plan(s.t.Context())
	if err != nil {
		return err
	}
	if len(args) == 0 && len(plan.Actions) == 0 {
		return nil
	}
	for _, a := range plan.Actions {
		if len(args) > 1 && a.Name == args[0] && a.Verb == args[1] && strings.Contains(a.Cause, strings.Join(args[2:], " ")) {
			return nil
		}
	}
	return fmt.Errorf("got %+v", plan.Actions)
}

func (s *story) stepExitCode(args []string) error {
	o, err := s.agent.Object(args[0])
	if err != nil {
		return err
	}
	exit := o.Status.Container.LastExit
	if exit == nil || strconv.Itoa(exit.Code) != args[1] || len(args) > 2 && exit.Reason != args[2] {
		return fmt.Errorf("got %+v", exit)
	}
	return nil
}

func (s *story) stepPoison(args []string) error {
	after, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	return s.machine.Poison(args[0], after)
}

func (s *story) stepCheckpoint(args []string) error {
	o := spec.CheckpointOptions{Stop: slices.Contains(args, "stop"), Keep: slices.Contains(args, "keep")}
	i, err := s.agent.Checkpoint(s.t.Context(), args[0], o)
	if err == nil && (i.Container != args[0] || i.Stopped != o.Stop || i.Kept != o.Keep) {
		err = fmt.Errorf("got %+v", i)
	}
	return s.asked(err)
}

func (s *story) stepRestore(args []string) error {
	ref := ""
	if len(args) > 1 {
		ref = args[1]
		if n, err := strconv.Atoi(ref); err == nil {
			all := s.machine.Images(args[0])
			ref = all[len(all)-n].Ref()
		}
	}
	return s.asked(s.agent.Restore(s.t.Context(), args[0], ref))
}

// shutdown [WITHIN]: and what is still up then
func (s *story) stepShutdown(args []string) error {
	ctx := s.t.Context()
	if len(args) > 0 {
		within, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	return s.asked(s.agent.Shutdown(ctx))
}

// refused STEP... WITH TEXT: the step fails so
func (s *story) stepRefused(args []string) error {
	with := slices.Index(args, "with")
	err := steps[args[0]](s, args[1:with])
	if want := strings.Join(args[with+1:], " "); err == nil || !strings.Contains(err.Error(), want) {
		return fmt.Errorf("got %v, want %q", err, want)
	}
	return nil
}

// images NAME N
func (s *story) stepImages(args []string) error {
	if all := s.machine.Images(args[0]); strconv.Itoa(len(all)) != args[1] {
		return fmt.Errorf("got %+v", all)
	}
	return nil
}

func (s *story) stepSets(args []string) error {
	a, b := s.machine.Images(args[0]), s.machine.Images(args[1])
	if first, second := a[len(a)-1].Set, b[len(b)-1].Set; first == "" || first != second {
		return fmt.Errorf("got %q and %q", first, second)
	}
	return nil
}

func (s *story) stepForgetImages(args []string) error {
	for _, i := range s.machine.Images(args[0]) {
		if err := s.agent.RemoveImage(s.t.Context(), i.Ref()); err != nil {
			return err
		}
	}
	return s.asked(nil)
}

func (s *story) stepHolds(args []string) error {
	if got := s.machine.Holds(args[0], args[1], args[2]); got != strings.Join(args[3:], " ") {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

func (s *story) stepConfig(args []string) error {
	o, err := s.agent.Object(args[0])
	for _, c := range o.Status.Configs {
		var got []string
		for word, is := range map[string]bool{"found": c.Found, "seen": c.Seen, "sensitive": c.Sensitive, "hash": c.Hash != "" && c.Keys != nil} {
			if is {
				got = append(got, word)
			}
		}
		want := slices.Clone(args[2:])
		slices.Sort(got)
		slices.Sort(want)
		if c.Name == args[1] && slices.Equal(got, want) {
			return nil
		}
	}
	return fmt.Errorf("got %+v, %v", o.Status.Configs, err)
}
