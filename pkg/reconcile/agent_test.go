package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const someManifest = `{apiVersion: reconciler/v1alpha1, kind: Container, metadata: {name: %s}, spec: {rootfs: {path: /srv}, command: [/bin/sleep, "1000000"]}}`

// running is a story in which containers of these names run.
func running(t *testing.T, names ...string) *story {
	s := newStory(t, new(txtar.Archive))
	for _, name := range names {
		s.folder(nil).Put(name+".yaml", fmt.Sprintf(someManifest, name))
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	return s
}

// damage changes a record's bytes: some are others, words that mean something to a reader stand between them, it stands twice, or its end is missing.
func damage(r *rand.Rand, data []byte) []byte {
	data = slices.Clone(data)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(data))
		switch r.IntN(8) {
		case 0:
			data = data[:at+1]
		case 1:
			data = slices.Concat(data[:at], data)
		case 2:
			words := []string{"null", "-1", "1e999", "{}", "[[[[", `"schema":9,`, `"removed":true,`, "\x00"}
			data = slices.Insert(data, at, []byte(words[r.IntN(len(words))])...)
		default:
			data[at] = byte(r.Uint32())
		}
	}
	return bytes.Replace(data, []byte(`"schema":1`), fmt.Appendf(nil, `"schema":%d`, max(1, r.IntN(20)-16)), 1)
}

// An agent starts with any record file there can be, and does nothing to what runs.
func TestMutatedRecords(t *testing.T) {
	rounds := 250
	if os.Getenv("RECONCILER_SOAK") != "" {
		rounds = 10_000
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			s := running(t, "a", "b")
			clear(s.did)
			s.stop()
			s.disk.Change("a", func(data []byte) []byte { return damage(r, data) })
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			s.stop()
			if len(s.did) > 0 {
				t.Fatalf("did %v", s.did)
			}
		})
	}
}

// A watch resumes from a version, a late one is told so, and a slow one is cut.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, "a")
		defer s.stop()
		_, version := s.agent.Objects()
		ctx, cancel := context.WithCancel(t.Context())
		changes, err := s.agent.Watch(ctx, version)
		if err != nil {
			t.Fatal(err)
		}
		s.folder(nil).Put("b.yaml", fmt.Sprintf(someManifest, "b"))
		first := <-changes
		if first.Type != reconcile.Added || first.Object.Metadata.Name != "b" || first.Object.Metadata.ResourceVersion != version+1 {
			t.Errorf("got %+v", first)
		}
		for c := range changes {
			if c.Object.Status.Phase == spec.PhaseRunning {
				break
			}
		}
		cancel()
		again, err := s.agent.Watch(t.Context(), version)
		if c := <-again; err != nil || c.Object.Metadata.ResourceVersion != version+1 {
			t.Errorf("resumed with %+v, %v", c, err)
		}
		if _, err := s.agent.Watch(t.Context(), version+1_000_000); !errors.Is(err, reconcile.ErrExpired) {
			t.Errorf("a version of the future: %v", err)
		}
		for range 4_000 {
			s.machine.Crash("a", 1)
			time.Sleep(2 * time.Minute)
		}
		if _, err := s.agent.Watch(t.Context(), version); !errors.Is(err, reconcile.ErrExpired) {
			t.Errorf("a version long gone: %v", err)
		}
		n := 0
		for range again {
			n++
		}
		if n > 10 {
			t.Errorf("a slow reader got %d changes more", n)
		}
	})
}

// Who looks for drift changes nothing, whoever it is: what puts it back is asked for, or the loop's own look.
func TestDriftLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, "a")
		defer s.stop()
		s.agent.SetRules(reconcile.Rules{DeepLook: -1, Allows: s.allows()}) // no looks by itself
		s.machine.Stray("a", spec.Drift{Field: "hostname", Found: "db", Wanted: "a", Repairable: true})
		for range 3 {
			drifts, err := s.agent.Drift(t.Context(), "a")
			if err != nil || len(drifts) != 1 || drifts[0].Found != "db" {
				t.Fatalf("got %v, %v", drifts, err)
			}
			time.Sleep(time.Hour)
		}
		for _, e := range s.agent.Events("a", 0) {
			if strings.HasPrefix(e.Reason, "Drift") {
				t.Errorf("a look had %s", e.Reason)
			}
		}
		if _, err := s.agent.RepairDrift(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if drifts, err := s.agent.Drift(t.Context(), "a"); err != nil || len(drifts) != 0 {
			t.Errorf("not put back: %v, %v", drifts, err)
		}
	})
}

// What a person asks for of names that are not there, or in words that are none, is refused and changes nothing.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, "a")
		defer s.stop()
		ctx := t.Context()
		_, version := s.agent.Objects()
		for what, c := range map[string]struct {
			err  error
			want error
		}{
			"override of nobody":        {s.agent.Override(ctx, "nobody", spec.Override{State: spec.StatePaused}), fs.ErrNotExist},
			"override with no state":    {s.agent.Override(ctx, "a", spec.Override{State: "Dancing"}), fs.ErrInvalid},
			"restart of nobody":         {s.agent.Restart(ctx, "nobody"), fs.ErrNotExist},
			"kill of nobody":            {s.agent.Kill(ctx, "nobody", "SIGTERM"), fs.ErrNotExist},
			"kill with no signal":       {s.agent.Kill(ctx, "a", "SIGDANCE"), fs.ErrInvalid},
			"confirm of no source":      {s.agent.ConfirmPrune(ctx, "nowhere", "x"), fs.ErrNotExist},
			"confirm of other revision": {s.agent.ConfirmPrune(ctx, "main", "x"), fs.ErrInvalid},
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("%s: got %v, want %v", what, c.err, c.want)
			}
		}
		const unknown = "unknown source \"nowhere\"\nhint: the sources are main"
		if err := s.agent.ConfirmPrune(ctx, "nowhere", "x"); err == nil || err.Error() != unknown {
			t.Errorf("got %q, want %q", err, unknown)
		}
		if _, now := s.agent.Objects(); now != version {
			t.Error("something changed")
		}
	})
}

// panicky panics whenever it is asked about a name.
type panicky struct {
	reconcile.Node
	name string
}

func (n panicky) Create(ctx context.Context, c spec.Container, id uint64, defaults int) error {
	if c.Metadata.Name == n.name {
		panic("for " + n.name)
	}
	return n.Node.Create(ctx, c, id, defaults)
}

// A panic over one name is a failure of that name only.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine, folder := simnode.New(), simnode.NewFolder("main")
		for _, name := range []string{"a", "b"} {
			folder.Put(name+".yaml", fmt.Sprintf(someManifest, name))
		}
		node := machine.Attach(nil, func() {})
		agent, err := reconcile.New(reconcile.Config{Node: panicky{node, "a"}, Store: simnode.NewDisk().Store(node), Sources: []reconcile.Source{folder}})
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.RunOnce(t.Context()); err == nil || !strings.Contains(err.Error(), "panic: for a") || strings.Contains(err.Error(), "b is not") {
			t.Errorf("got %v", err)
		}
		if b, err := agent.Object("b"); err != nil || b.Status.Phase != spec.PhaseRunning {
			t.Errorf("b: %+v, %v", b.Status, err)
		}
	})
}

// filling is a store whose disk is full from some time on.
type filling struct {
	reconcile.Store
	full *atomic.Bool
}

func (s filling) Save(r record.Record) error {
	if s.full.Load() {
		return syscall.ENOSPC
	}
	return s.Store.Save(r)
}

// What could not be written down was not done: no event says so.
func TestOverrideUnsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine, folder := simnode.New(), simnode.NewFolder("main")
		folder.Put("a.yaml", fmt.Sprintf(someManifest, "a"))
		node, full := machine.Attach(nil, func() {}), new(atomic.Bool)
		agent, err := reconcile.New(reconcile.Config{Node: node, Store: filling{simnode.NewDisk().Store(node), full}, Sources: []reconcile.Source{folder}})
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		if err := agent.Override(t.Context(), "a", spec.Override{State: spec.StatePaused}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
		full.Store(false)
		if err := agent.Override(t.Context(), "a", spec.Override{State: spec.StateStopped}); err != nil {
			t.Error(err)
		}
		var told []string
		for _, e := range agent.Events("a", 0) {
			if e.Reason == "Overridden" {
				told = append(told, e.Message)
			}
		}
		if !slices.Equal(told, []string{"state is Stopped by hand"}) {
			t.Errorf("told of %q", told)
		}
	})
}

// An idle agent looks at sources and node every so often, and does nothing else.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, "a", "b")
		defer s.stop()
		time.Sleep(time.Minute) // their manifests have proven themselves
		_, version := s.agent.Objects()
		last := len(s.agent.Events("", 0))
		time.Sleep(24 * time.Hour)
		if _, now := s.agent.Objects(); now != version || len(s.agent.Events("", 0)) != last {
			t.Errorf("%d changes and %d events in an idle day", now-version, len(s.agent.Events("", 0))-last)
		}
	})
}

// manifests are documents of so many containers, a file each.
func manifests(n int) []*reconcile.File {
	files := make([]*reconcile.File, n)
	for i := range files {
		c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: fmt.Sprintf("c%05d", i)}}
		c.Spec.Rootfs.Path = "/srv/web"
		c.Spec.Command = []string{"/bin/web", "--port=8080"}
		c.Spec.Env = map[string]string{"LOG": "info"}
		c.Spec.Resources.Memory.Max = spec.NewLimit(64 << 20)
		files[i] = &reconcile.File{Path: fmt.Sprintf("/m/%05d.yaml", i), Documents: []spec.Document{{Container: c, Line: 1}}}
	}
	return files
}

func BenchmarkAdmit(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			request := reconcile.Request{Snapshots: []reconcile.Snapshot{{Source: "/m", ReadAt: time.Now(), Files: manifests(n)}}}
			request.Incumbents = reconcile.Admit(request).Desired
			for b.Loop() {
				reconcile.Admit(request)
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	d := &reconcile.Desired{Container: manifests(1)[0].Documents[0].Container}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			reconcile.Plan(reconcile.Subject{Name: "c00000", Desired: d}, epoch)
		}
	})
	in := spec.Instance{Name: "c00000", ID: 1, Phase: spec.InstanceRunning, Spec: d.Container, Hash: spec.Identity(d.Container, 1), Defaults: 1, Starts: 1}
	b.Run("converged", func(b *testing.B) {
		for b.Loop() {
			reconcile.Plan(reconcile.Subject{Name: "c00000", Desired: d, Observed: []spec.Instance{in}}, epoch)
		}
	})
}

// unlisted cannot be looked at as a whole, a number of times.
type unlisted struct {
	reconcile.Node
	times int
}

func (n *unlisted) Observe(ctx context.Context) ([]spec.Instance, error) {
	if n.times--; n.times >= 0 {
		return nil, errors.New("too many open files")
	}
	return n.Node.Observe(ctx)
}

// A node that cannot be listed at the start is listed later: the agent goes on.
func TestListedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine, folder := simnode.New(), simnode.NewFolder("main")
		folder.Put("a.yaml", fmt.Sprintf(someManifest, "a"))
		node := machine.Attach(nil, func() {})
		agent, err := reconcile.New(reconcile.Config{Node: &unlisted{node, 1}, Store: simnode.NewDisk().Store(node), Sources: []reconcile.Source{folder}})
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.RunOnce(t.Context()); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// unread is a source that is not read before an agent ends.
type unread struct{ *simnode.Folder }

func (unread) Scan(ctx context.Context, _ bool) reconcile.Snapshot {
	<-ctx.Done()
	return reconcile.Snapshot{}
}

// An agent that ends before its sources were read does nothing by the manifests that were in force before.
func TestEndsUnread(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			machine, disk, folder := simnode.New(), simnode.NewDisk(), simnode.NewFolder("main")
			folder.Put("a.yaml", fmt.Sprintf(someManifest, "a"))
			node := machine.Attach(nil, func() {})
			cfg := reconcile.Config{Node: node, Store: disk.Store(node), Sources: []reconcile.Source{folder}}
			first, err := reconcile.New(cfg)
			if err != nil || first.RunOnce(t.Context()) != nil {
				t.Fatal("the first agent fails")
			}
			machine.Reboot()
			cfg.Sources = []reconcile.Source{unread{folder}}
			second, err := reconcile.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := second.Run(ctx); err != nil || len(machine.Instances()) > 0 {
				t.Fatalf("%v; %v", err, machine.Instances())
			}
		})
	}
}

// unwatched is a node that gives no events once nobody waits for them, as the real one does.
type unwatched struct{ reconcile.Node }

func (u unwatched) Events(ctx context.Context) (<-chan spec.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return u.Node.Events(ctx)
}

// An agent that is asked to end before it has begun ends without an error, as at any other time.
func TestEndsBeforeItBegins(t *testing.T) {
	machine := simnode.New()
	node := machine.Attach(nil, func() {})
	agent, err := reconcile.New(reconcile.Config{Node: unwatched{node}, Store: simnode.NewDisk().Store(node), Sources: []reconcile.Source{simnode.NewFolder("main")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := agent.Run(ctx); err != nil {
		t.Error(err)
	}
}
