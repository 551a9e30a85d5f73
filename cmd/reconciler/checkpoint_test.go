package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestCheckpointScripts runs testdata/checkpoint: the verbs about images as a user types them, each script on a stage of its own where web has
// three images and old, which is gone, has one. Beside what testscript has, the scripts know
//
//	image REF busy|torn|PROBLEM...   an image is in use, cannot be exported to its end, has a problem
//	asked TEXT                       what the agent was asked for last
func TestCheckpointScripts(t *testing.T) {
	of := func(ts *testscript.TestScript) *stage { return ts.Value("stage").(*stage) }
	socket := func(env *testscript.Env) string {
		s := newAlbum(t)
		env.Values["stage"] = s
		return s.socket
	}
	testscript.RunT(sequential{t}, scripts("testdata/checkpoint", socket, commands{
		"image": func(ts *testscript.TestScript, _ bool, args []string) {
			problem := strings.Join(args[1:], " ")
			if problem == "busy" || problem == "torn" {
				problem = ""
			}
			of(ts).agent.Image(args[0], args[1] == "busy", problem, args[1] == "torn")
		},
		"asked": func(ts *testscript.TestScript, _ bool, args []string) {
			if asked := of(ts).agent.Asked(); len(asked) == 0 || asked[len(asked)-1] != args[0] {
				ts.Fatalf("the agent was asked %q", asked)
			}
		},
	}))
}

// newAlbum is a stage with images.
func newAlbum(t *testing.T) *stage {
	s := newStage(t)
	for _, i := range []spec.Image{
		{Container: "web", ID: "20260101-000000001", Cause: "every 10m"},
		{Container: "web", ID: "20260102-000000001", Cause: "before the upgrade", Kept: true, Compression: spec.CompressZstd, Kernel: "6.18.44", CRIU: "4.2.1", Arch: "amd64"},
		{Container: "old", ID: "20260102-000000002", Cause: "every 10m", Stopped: true},
		{Container: "web", ID: "20260103-000000001", Cause: "every\x1b[31m 10m"},
	} {
		i.CreatedAt = time.Now().Add(-time.Hour)
		i.Instance, i.Starts, i.Bytes, i.Memory = 2, 1, 12<<20, 10<<20
		i.Frozen, i.Took = spec.Duration(18300*time.Microsecond), spec.Duration(82*time.Millisecond)
		i.Spec.Spec.Command = []string{"/bin/web"}
		s.agent.AddImage(i, strings.Repeat(i.Ref()+"\n", 1000))
	}
	for _, name := range []string{"ls", "lone"} {
		s.agent.Put(spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: name}}, Status: spec.Status{Phase: spec.PhaseRunning}})
	}
	off := spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: "off"}}, Status: spec.Status{Phase: spec.PhaseStopped}}
	off.Spec.State = spec.StateStopped
	s.agent.Put(off)
	return s
}

// The containers of a group are asked for by one of them that runs.
func TestCheckpointSubjects(t *testing.T) {
	s := newStage(t)
	for name, phase := range map[string]spec.Phase{"app-a": spec.PhaseStopped, "app-b": spec.PhaseRunning, "app-c": spec.PhaseRunning} {
		o := spec.Object{Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: name}}, Status: spec.Status{Phase: phase}}
		o.Spec.Group = "app"
		s.agent.Put(o)
	}
	a := &app{socket: s.socket}
	got, err := a.subjects(t.Context(), []string{"web", "app", "app-a", "nobody"})
	must(t, err)
	if got[0] != "web" || !slices.Contains([]string{"app-b", "app-c"}, got[1]) || got[2] != "app-a" || got[3] != "nobody" {
		t.Errorf("got %v", got)
	}
}

func TestQuick(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 900: "900ns", 18300 * time.Microsecond: "18ms", 3840 * time.Microsecond: "3.8ms", 1234 * time.Millisecond: "1.2s", 83 * time.Second: "1m23s",
	} {
		if got := quick(spec.Duration(d)); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}

// Ctrl-C gives up what takes long, at the agent too.
func TestInterruptGivesUp(t *testing.T) {
	for what, args := range map[string][]string{
		"checkpoint": {"checkpoint", "web"}, "restore": {"restore", "web"}, "verify": {"checkpoint", "verify", "web"}, "shutdown": {"shutdown"},
	} {
		s := newAlbum(t)
		_, begun, gaveUp := s.agent.Hold()
		cmd := s.command(args...)
		must(t, cmd.Start())
		if got := <-begun; got != what {
			t.Errorf("%v: %s has begun", args, got)
		}
		must(t, cmd.Process.Signal(os.Interrupt))
		if got := <-gaveUp; got != what {
			t.Errorf("%v: %s was given up", args, got)
		}
		if cmd.Wait() == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// A node that does not come down in time is told apart from one that cannot.
func TestShutdownTimeout(t *testing.T) {
	s := newAlbum(t)
	s.agent.Hold()
	cmd := s.command("shutdown", "--timeout", "20ms")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != exitTimeout {
		t.Errorf("got %v, want the code %d", err, exitTimeout)
	}
}

// A restore that became a cold start is an error, and the container's status says why.
func TestRestoreThatStartedCold(t *testing.T) {
	s := newAlbum(t)
	web, err := s.agent.Object("web")
	must(t, err)
	web.Status.Conditions = []spec.Condition{{Type: spec.ConditionRestored, Status: spec.False, Reason: "ColdStart", Message: "no image fits"}}
	s.agent.Put(web)
	cmd := s.command("restore", "web")
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != exitError || !strings.Contains(out.String(), `"web" does not run from an image: no image fits`) {
		t.Errorf("got %v, %s", err, out.String())
	}
}
