package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// serve starts a server on path; stop ends it and waits.
func serve(t testing.TB, path string, agent *apitest.Agent) (stop func()) {
	t.Helper()
	listener, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(true)
	ctx, cancel := context.WithCancel(context.Background())
	server := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Version: "test", Log: logr.Discard()})
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func object(name string, phase spec.Phase) spec.Object {
	return spec.Object{
		Metadata: spec.ObjectMetadata{Metadata: spec.Metadata{Name: name}},
		Status:   spec.Status{Phase: phase},
	}
}

func TestNotRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	_, err := client.New(path).List(t.Context())
	if !errors.Is(err, client.ErrNotRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("List: got %v, want ErrNotRunning with the path", err)
	}
	for _, err := range client.New(path).Watch(t.Context()) {
		if !errors.Is(err, client.ErrNotRunning) {
			t.Errorf("Watch: got %v, want ErrNotRunning", err)
		}
	}
}

func TestQuestions(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web", spec.PhaseRunning))
	agent.SetSources(api.Source{Name: "m", Path: "/m", Hash: "7", OK: true})
	agent.AddEvent(api.Event{Name: "web", Reason: "Started"})
	agent.AddEvent(api.Event{Name: "db", Reason: "Started"})
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, agent)
	c := client.New(path)

	list, err := c.List(t.Context())
	check(t, "List", err, len(list.Items) == 1 && list.Metadata.ResourceVersion == 1 && list.Kind == api.KindList)
	o, err := c.Get(t.Context(), "web")
	check(t, "Get", err, o.Status.Phase == spec.PhaseRunning)
	_, err = c.Get(t.Context(), "nope")
	check(t, "Get of nobody", nil, errors.Is(err, fs.ErrNotExist))
	_, err = c.Get(t.Context(), "../version")
	check(t, "Get of a path", nil, errors.Is(err, fs.ErrNotExist))
	o, err = c.Do(t.Context(), "web", "pause")
	check(t, "Do", err, o.Status.Override.State == spec.StatePaused)
	_, err = c.Kill(t.Context(), "web", "SIGHUP")
	check(t, "Kill", err, agent.Asked()[1] == "kill web SIGHUP")
	events, err := c.Events(t.Context(), "web", 0)
	check(t, "Events", err, len(events) == 1 && events[0].Reason == "Started")
	features, err := c.Features(t.Context())
	check(t, "Features", err, len(features) == 2 && features[1].Error != "")
	sources, err := c.ConfirmPrune(t.Context(), "m", "7")
	check(t, "ConfirmPrune", err, len(sources) == 1)
	version, err := c.Version(t.Context())
	check(t, "Version", err, version.API == "v1" && version.Version == "test")
}

func check(t *testing.T, what string, err error, ok bool) {
	t.Helper()
	if err != nil || !ok {
		t.Errorf("%s: got err %v, as expected %t", what, err, ok)
	}
}

func TestLogs(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web", spec.PhaseRunning))
	for i := range 3 {
		agent.AddLog("web", api.LogLine{Time: time.Unix(int64(i), 0), Stream: "stdout", Bytes: fmt.Appendf(nil, "line %d\n", i)})
	}
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, agent)
	body, err := client.New(path).Logs(t.Context(), "web", api.LogOptions{Tail: 2, Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	want := "1970-01-01T00:00:01.000000000Z line 1\n1970-01-01T00:00:02.000000000Z line 2\n"
	if err != nil || string(text) != want {
		t.Errorf("Logs: got %q, %v", text, err)
	}
}

// next is the next change, as "Added web"; bookmarks are left out.
func next(t *testing.T, pull func() (api.Change, error, bool)) string {
	t.Helper()
	for {
		change, err, ok := pull()
		if !ok || err != nil {
			t.Fatalf("the watch ended: %v", err)
		}
		if change.Type != api.Bookmark {
			return fmt.Sprintf("%s %s", change.Type, change.Object.Metadata.Name)
		}
	}
}

func want(t *testing.T, pull func() (api.Change, error, bool), changes ...string) {
	t.Helper()
	for _, w := range changes {
		if got := next(t, pull); got != w {
			t.Fatalf("watch: got %q, want %q", got, w)
		}
	}
}

func TestWatchSurvivesARestartOfTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := apitest.New()
	first.Put(object("a", spec.PhaseRunning))
	first.Put(object("b", spec.PhaseRunning))
	stop := serve(t, path, first)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pull, end := iter.Pull2(client.New(path).Watch(ctx))
	defer end()
	want(t, pull, "Added a", "Added b")
	first.Put(object("a", spec.PhasePaused))
	want(t, pull, "Modified a")

	stop()
	second := apitest.New()
	second.Put(object("a", spec.PhaseRunning))
	second.Put(object("c", spec.PhaseRunning))
	serve(t, path, second)
	want(t, pull, "Modified a", "Added c", "Deleted b")
	second.Remove("c")
	want(t, pull, "Deleted c")
}

func TestWatchOfAForgetfulAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	agent := apitest.New()
	stop := serve(t, path, agent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pull, end := iter.Pull2(client.New(path).Watch(ctx))
	defer end()
	agent.Put(object("a", spec.PhaseRunning))
	want(t, pull, "Added a")
	stop()
	for range 3 * apitest.Remembered {
		agent.Put(object("a", spec.PhasePaused))
	}
	agent.Put(object("z", spec.PhaseRunning))
	serve(t, path, agent)
	want(t, pull, "Modified a", "Added z")
}
