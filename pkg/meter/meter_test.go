package meter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/internal/exposition"
	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/meter"
	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const manifest = `apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: %s}
spec:
  rootfs: {path: /srv/rootfs}
  command: [/bin/server]
  resources: {memory: {max: %dMi}}
`

// node is a machine in memory with a keeper.
type node struct {
	*simnode.Node
	keeper error
}

func (n *node) Keeper(context.Context) (int, int64, error) { return os.Getpid(), 7, n.keeper }

// loop is an agent at work, with what it is measured by.
type loop struct {
	testing.TB
	folder  *simnode.Folder
	node    *node
	handler *meter.Handler
}

func newLoop(t testing.TB, own, containers int) *loop {
	t.Helper()
	l := &loop{t, simnode.NewFolder("main"), &node{Node: simnode.New().Attach(nil, func() {})}, nil}
	for i := range containers {
		l.put(i, 64)
	}
	figures := meter.New()
	agent, err := reconcile.New(reconcile.Config{
		Node: l.node.Node, Store: simnode.NewDisk().Store(l.node.Node), Sources: []reconcile.Source{l.folder}, Prune: reconcile.PruneAlways, Meter: figures,
		Relist: 20 * time.Millisecond, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.handler = meter.NewHandler(meter.Config{Meter: figures, Agent: agent, Node: l.node, Containers: own, Version: "v1", Revision: "abc"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	l.until(float64(containers), "reconciler_containers", "phase", "Running")
	return l
}

func name(i int) string { return fmt.Sprintf("c%03d", i) }

func (l *loop) put(i, memory int) {
	l.folder.Put(name(i)+".yaml", fmt.Sprintf(manifest, name(i), memory))
}

// scrape asks as Prometheus does.
func (l *loop) scrape() (string, map[string]exposition.Family) {
	l.Helper()
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != metric.ContentType {
		l.Fatal(w.Code, w.Header())
	}
	families, err := exposition.Parse(w.Body.String())
	if err != nil {
		l.Fatal(err)
	}
	return w.Body.String(), families
}

// value is a figure, which has to be there.
func (l *loop) value(family string, labels ...string) float64 {
	l.Helper()
	_, families := l.scrape()
	v, ok := families[family].Value(labels...)
	if !ok {
		l.Fatalf("no %s %v", family, labels)
	}
	return v
}

// until waits until a figure is what it should be.
func (l *loop) until(want float64, family string, labels ...string) {
	l.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, families := l.scrape()
		got, ok := families[family].Value(labels...)
		if ok && got == want {
			return
		}
		if time.Now().After(end) {
			l.Fatalf("%s %v is %v (there: %t), want %v", family, labels, got, ok, want)
		}
	}
}

// What the loop does is counted, and Prometheus has nothing to find fault with.
func TestScrape(t *testing.T) {
	l := newLoop(t, 10, 3)
	l.until(3, "reconciler_converge_duration_seconds")
	l.until(0, "reconciler_queue_depth")
	text, families := l.scrape()
	for _, want := range []struct {
		value  float64
		family string
		labels []string
	}{
		{1, "reconciler_build_info", []string{"version", "v1", "revision", "abc"}},
		{3, "reconciler_desired_containers", nil},
		{3, "reconciler_active_containers", nil},
		{3, "reconciler_containers_condition", []string{"condition", "Ready", "status", "True"}},
		{0, "reconciler_containers", []string{"phase", "Failed"}},
		{3, "reconciler_actions_total", []string{"action", "Create", "result", "ok"}},
		{3, "reconciler_actions_total", []string{"action", "Start", "result", "ok"}},
		{0, "reconciler_actions_total", []string{"action", "Start", "result", "failed"}},
		{3, "reconciler_action_duration_seconds", []string{"action", "Start"}},
		{1, "reconciler_source_up", []string{"source", "main"}},
		{0, "reconciler_manifest_errors", []string{"reason", "Invalid"}},
		{1, "reconciler_container_ready", []string{"name", "c000"}},
		{0, "reconciler_container_restarts_total", []string{"name", "c002"}},
		{1, "reconciler_keeper_up", nil},
		{3, "reconciler_metrics_own_containers", nil},
	} {
		if got, ok := families[want.family].Value(want.labels...); !ok || got != want.value {
			t.Errorf("%s %v is %v (there: %t), want %v", want.family, want.labels, got, ok, want.value)
		}
	}
	for _, some := range []string{
		"reconciler_pass_duration_seconds", "reconciler_queue_latency_seconds", "reconciler_relist_last_success_timestamp_seconds",
		"reconciler_source_last_success_timestamp_seconds", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds", "go_goroutines",
		"reconciler_keeper_resident_memory_bytes",
	} {
		if got, ok := families[some].Value(); !ok || got <= 0 {
			t.Errorf("%s is %v (there: %t)", some, got, ok)
		}
	}
	kerneltest.Promtool(t, text, "check", "metrics")
}

// What goes wrong is told by the figures that alerts ask for.
func TestTrouble(t *testing.T) {
	l := newLoop(t, 10, 2)
	l.folder.Put("broken.yaml", fmt.Sprintf(manifest, name(5), 1)+"  nonsense: 1\n")
	l.until(1, "reconciler_manifest_errors", "reason", "Invalid")
	l.folder.Put("broken.yaml", fmt.Sprintf(manifest, name(0), 1))
	l.until(1, "reconciler_manifest_errors", "reason", "DuplicateName")
	l.node.keeper = errors.New("gone")
	l.until(0, "reconciler_keeper_up")
	l.until(0, "reconciler_keeper_resident_memory_bytes")
	if l.value("reconciler_warnings_total", "reason", "ManifestRejected") < 1 {
		t.Error("a refused manifest is no warning")
	}
}

// A container that goes takes its figures along.
func TestNamesGo(t *testing.T) {
	l := newLoop(t, 10, 2)
	l.folder.Remove(name(1) + ".yaml")
	l.until(1, "reconciler_metrics_own_containers")
	if text, _ := l.scrape(); strings.Contains(text, name(1)) {
		t.Error("a container that is gone still has figures")
	}
}

// Requests of the API, images and repairs are counted by few words.
func TestTold(t *testing.T) {
	m := meter.New()
	m.Answered("read", 200, time.Millisecond)
	m.Answered("none", 403, time.Millisecond)
	m.Acted(reconcile.Action{Verb: reconcile.VerbCheckpoint}, spec.Image{Bytes: 5 << 20, Frozen: spec.Duration(20 * time.Millisecond)}, time.Second, nil)
	m.Acted(reconcile.Action{Verb: reconcile.VerbCheckpoint}, spec.Image{}, time.Second, errors.New("no"))
	m.Acted(reconcile.Action{Verb: reconcile.VerbRepair, Repair: true, Fields: []string{"mounts[/a]", "mounts[/b]", "hostname"}}, spec.Image{}, 0, nil)
	m.Acted(reconcile.Action{Verb: "Unheard"}, spec.Image{}, 0, nil)
	m.Relisted(time.Millisecond, 2, nil)
	m.Told(reconcile.Event{Reason: "OOMKilled", Warning: true, Count: 3})
	m.Told(reconcile.Event{Reason: "Started"})
	l := &loop{t, nil, nil, meter.NewHandler(meter.Config{Meter: m, Agent: nobody{}, Node: nobody{}})}
	for _, want := range []struct {
		value  float64
		family string
		labels []string
	}{
		{1, "reconciler_api_requests_total", []string{"role", "none", "code", "403"}},
		{2, "reconciler_api_request_duration_seconds", nil},
		{2, "reconciler_checkpoint_duration_seconds", nil},
		{1, "reconciler_checkpoint_frozen_seconds", nil},
		{1, "reconciler_checkpoint_size_bytes", nil},
		{1, "reconciler_actions_total", []string{"action", "Checkpoint", "result", "failed"}},
		{2, "reconciler_drift_corrections_total", []string{"field", "mounts"}},
		{1, "reconciler_drift_corrections_total", []string{"field", "hostname"}},
		{2, "reconciler_relist_missed_changes_total", nil},
		{3, "reconciler_warnings_total", []string{"reason", "OOMKilled"}},
	} {
		if got := l.value(want.family, want.labels...); got != want.value {
			t.Errorf("%s %v is %v, want %v", want.family, want.labels, got, want.value)
		}
	}
}

// nobody is an agent and a node with no container.
type nobody struct{}

func (nobody) Objects() ([]spec.Object, uint64)                                { return nil, 0 }
func (nobody) Activity() (a reconcile.Activity)                                { return a }
func (nobody) Stats(context.Context, string, uint64) (s spec.Stats, err error) { return s, nil }
func (nobody) Keeper(context.Context) (int, int64, error)                      { return 0, 0, errors.New("none") }

// BenchmarkScrape is one scrape of 500 containers, but for what the kernel takes to say how they are.
func BenchmarkScrape(b *testing.B) {
	l := newLoop(b, 1000, 500)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		size = len(l.handler.Scrape(b.Context()).Bytes)
	}
	b.ReportMetric(float64(size), "bytes")
}

// held is a machine whose keeper answers when it is let.
type held struct {
	nobody
	asked, let chan struct{}
}

func (h held) Keeper(context.Context) (int, int64, error) {
	h.asked <- struct{}{}
	<-h.let
	return 0, 0, errors.New("none")
}

// A scrape that waits for another ends with its request.
func TestWaitingScrape(t *testing.T) {
	node := held{asked: make(chan struct{}, 2), let: make(chan struct{})}
	h := meter.NewHandler(meter.Config{Meter: meter.New(), Agent: nobody{}, Node: node})
	var first, second sync.WaitGroup
	first.Go(func() { h.Scrape(t.Context()) })
	<-node.asked
	ctx, leave := context.WithCancel(t.Context())
	leave()
	w := httptest.NewRecorder()
	second.Go(func() { h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/metrics", nil)) })
	ended := make(chan struct{})
	go func() { second.Wait(); close(ended) }()
	select {
	case <-ended:
		if w.Body.Len() > 0 {
			t.Errorf("who has left is told %q", w.Body)
		}
	case <-time.After(20 * time.Second):
		t.Error("who has left waits for the scrape before")
	}
	close(node.let)
	first.Wait()
	second.Wait()
}
