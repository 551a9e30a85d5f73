package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// There is a method for every route of the API.
func TestEveryRoute(t *testing.T) {
	agent := apitest.New()
	web := object("web", spec.PhaseRunning)
	web.Status.Container.Instance = 1
	agent.Put(web)
	agent.SetStats(spec.Stats{Name: "web", Instance: 1})
	agent.SetSources(api.Source{Name: "m", Hash: "1"})
	agent.AddEvent(api.Event{Name: "web", Reason: "Started"})
	agent.AddLog("web", api.LogLine{Bytes: []byte("x\n")})
	agent.AddImage(spec.Image{Container: "web", ID: "20260101-000000001"}, "memory")
	own, err := agent.Run("web", spec.Exec{Command: []string{"cat"}, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()

	var mu sync.Mutex
	seen := map[string]bool{}
	mux := http.NewServeMux()
	server := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard(), Reload: func(context.Context) error { return nil }})
	handler := server.Handler()
	for _, route := range api.Routes() {
		mux.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[route.ID] = true
			if r.URL.Query().Get("watch") == "1" {
				seen["watch "+route.ID] = true
			}
			mu.Unlock()
			handler.ServeHTTP(w, r)
		})
	}
	c := client.New(serveHandler(t, mux))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	const image = "web/20260101-000000001"
	calls := map[string]func() error{
		"Document":      func() error { d, err := c.Document(ctx); return firstOf(err, json.Valid(d)) },
		"Version":       func() error { _, err := c.Version(ctx); return err },
		"List":          func() error { _, err := c.List(ctx); return err },
		"Get":           func() error { _, err := c.Get(ctx, "web"); return err },
		"Stats":         func() error { _, err := c.Stats(ctx, "web"); return err },
		"Processes":     func() error { _, err := c.Processes(ctx, "web"); return err },
		"Drift":         func() error { _, err := c.Drift(ctx, "web"); return err },
		"RepairDrift":   func() error { _, err := c.RepairDrift(ctx, "web"); return err },
		"Revisions":     func() error { _, err := c.Revisions(ctx, "web"); return err },
		"AllStats":      func() error { _, err := c.AllStats(ctx); return err },
		"Events":        func() error { _, err := c.Events(ctx, "", 0); return err },
		"Sources":       func() error { _, err := c.Sources(ctx); return err },
		"Configuration": func() error { _, err := c.Configuration(ctx); return err },
		"Reload":        func() error { _, err := c.Reload(ctx); return err },
		"Plan":          func() error { _, err := c.Plan(ctx); return err },
		"Features":      func() error { _, err := c.Features(ctx); return err },
		"ConfirmPrune":  func() error { _, err := c.ConfirmPrune(ctx, "m", "1"); return err },
		"Undo":          func() error { _, err := c.Undo(ctx, "web", 0); return err },
		"Kill":          func() error { _, err := c.Kill(ctx, "web", "SIGHUP"); return err },
		"Drain":         func() error { _, err := c.Drain(ctx, 0, false); return err },
		"Undrain":       func() error { _, err := c.Undrain(ctx); return err },
		"Shutdown":      func() error { _, err := c.Shutdown(ctx, 0); return err },
		"Images":        func() error { _, err := c.Images(ctx, ""); return err },
		"Image":         func() error { _, err := c.Image(ctx, image); return err },
		"VerifyImage":   func() error { _, err := c.VerifyImage(ctx, image); return err },
		"KeepImage":     func() error { _, err := c.KeepImage(ctx, image, true); return err },
		"Watch": func() error {
			for change, err := range c.Watch(ctx) {
				switch {
				case err != nil || change.Object.Metadata.Name == "late":
					return err
				case change.Type == api.Bookmark:
					agent.Put(object("late", spec.PhaseRunning))
				}
			}
			return errors.New("nothing comes")
		},
		"WatchEvents": func() error { return firstIn(c.WatchEvents(ctx, "", 0)) },
		"WatchStats":  func() error { return firstIn(c.WatchStats(ctx, time.Second)) },
		"Logs": func() error {
			logs, err := c.Logs(ctx, "web", api.LogOptions{Tail: -1})
			if err == nil {
				logs.Close()
			}
			return err
		},
		"Exec": func() error {
			s, err := c.Exec(ctx, "web", spec.Exec{Command: []string{"true"}})
			if err == nil {
				s.Close()
			}
			return err
		},
		"Attach": func() error {
			s, err := c.Attach(ctx, "web")
			if err == nil {
				s.Close()
			}
			return err
		},
	}
	for _, verb := range []string{"pause", "resume", "start", "stop", "suspend", "clear", "restart"} {
		calls["Do "+verb] = func() error { _, err := c.Do(ctx, "web", verb); return err }
	}
	for what, call := range calls {
		if what == "Drain" || what == "Shutdown" {
			continue // nothing runs after those
		}
		agent.Put(web) // whatever a verb has made of it
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	agent.Put(web)
	taken, err := c.Checkpoint(ctx, "web", spec.CheckpointOptions{})
	check(t, "Checkpoint", err, taken.Container == "web")
	_, err = c.Restore(ctx, "web", "")
	check(t, "Restore", err, true)
	archive, err := c.ExportImage(ctx, image, true)
	check(t, "ExportImage", err, err == nil)
	_, err = c.ImportImage(ctx, archive, "copy")
	check(t, "ImportImage", err, true)
	archive.Close()
	_, err = c.RemoveImage(ctx, image)
	check(t, "RemoveImage", err, true)
	for _, last := range []string{"Drain", "Shutdown"} {
		check(t, last, calls[last](), true)
	}
	for _, route := range api.Routes() {
		if !seen[route.ID] {
			t.Errorf("no method asks for %s %s", route.Method, route.Path)
		}
		if route.Line != nil && !seen["watch "+route.ID] {
			t.Errorf("no method watches %s", route.Path)
		}
	}
}

func firstOf(err error, ok bool) error {
	if err == nil && !ok {
		return errors.New("no JSON")
	}
	return err
}

// firstIn is the error of the first that a watch gives.
func firstIn[T any](watch iter.Seq2[T, error]) error {
	for _, err := range watch {
		return err
	}
	return errors.New("nothing comes")
}

// serveHandler serves a handler to admins on a socket.
func serveHandler(t *testing.T, h http.Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		return api.WithPeer(ctx, api.Peer{Role: api.Admin})
	}}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return path
}

// A watch that is told in the middle that it was too slow lists again, and gives what differs.
func TestWatchThatWasTooSlow(t *testing.T) {
	lists := 0
	c := client.New(serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		encode := json.NewEncoder(w)
		if r.URL.Query().Get("watch") != "1" {
			lists++
			list := api.List{Metadata: api.ListMetadata{Agent: "a", ResourceVersion: uint64(lists)}}
			for _, name := range [][]string{{"a", "b"}, {"b", "c"}}[min(lists, 2)-1] {
				list.Items = append(list.Items, object(name, spec.PhaseRunning))
			}
			_ = encode.Encode(list)
			return
		}
		if lists > 1 {
			<-r.Context().Done()
			return
		}
		_ = encode.Encode(api.Failure{Error: &api.Error{Reason: api.ReasonExpired, Message: "the reader is too slow"}})
	})))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pull, end := iter.Pull2(c.Watch(ctx))
	defer end()
	want(t, pull, "Added a", "Added b", "Modified b", "Added c", "Deleted a")
}

// What the agent refuses by role is fs.ErrPermission, and says what is needed.
func TestForbidden(t *testing.T) {
	agent := apitest.New()
	handler := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Log: logr.Discard()}).Handler()
	c := client.New(serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(api.WithPeer(r.Context(), api.Peer{UID: 12345, Role: api.Read})))
	})))
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := c.Exec(t.Context(), "web", spec.Exec{Command: []string{"true"}})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(fmt.Sprint(err), "needs the role admin, and user 12345 has the role read") {
		t.Errorf("got %v", err)
	}
}
