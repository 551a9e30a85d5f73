package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/flight"
	"github.com/seed31d4122e/reconciler/pkg/meter"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/web"
)

// inside is what an agent shows of itself beside the API.
type inside struct {
	*meter.Handler
	agent    *reconcile.Agent
	recorder flight.Recorder
	began    time.Time
}

// mounts are its routes. What the loop is about is for those who look; a trace costs, and says much.
func (i *inside) mounts() []api.Mount {
	return []api.Mount{
		{Pattern: "GET /metrics", Role: api.Read, Handler: i.Handler},
		{Pattern: "GET /debug/state", Role: api.Read, Handler: http.HandlerFunc(i.state)},
		{Pattern: "GET /debug/trace", Role: api.Admin, Handler: http.HandlerFunc(i.trace)},
	}
}

// answerTimeout is how long a reader may take for an answer.
const answerTimeout = 30 * time.Second

// state says in words what the loop is about.
func (i *inside) state(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	_, _ = w.Write(stateText(i.agent.Activity(), i.began, time.Now()))
}

// stateText is what a loop is about, for people.
func stateText(a reconcile.Activity, began, now time.Time) []byte {
	var b bytes.Buffer
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return now.Sub(t).Round(time.Millisecond).String() + " ago"
	}
	fmt.Fprintf(&b, "agent     pid %d, started %s, %d goroutines\n", os.Getpid(), ago(began), runtime.NumGoroutine())
	fmt.Fprintf(&b, "loop      %d of %d workers busy, %d wait for one, %d wait for a time", len(a.Working), a.Workers, len(a.Ready), a.Waking)
	if !a.NextWake.IsZero() {
		fmt.Fprintf(&b, ", the next in %s", a.NextWake.Sub(now).Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "\nrelist    %s\nmanifests %d containers in force, %d without a manifest, %d held back from removal\n", ago(a.Relisted), a.Desired, a.Orphaned, a.Blocked)
	for _, s := range a.Sources {
		fmt.Fprintf(&b, "source    %s read %s", s.Name, ago(s.Read))
		if !s.OK {
			b.WriteString(", not since")
		}
		fmt.Fprintf(&b, ", revision %s\n", s.Revision)
	}
	for _, t := range a.Working {
		fmt.Fprintf(&b, "working   %s since %s", t.Name, ago(t.Since))
		if t.Verb != "" {
			fmt.Fprintf(&b, ", %s since %s", t.Verb, ago(t.Asked))
		}
		b.WriteByte('\n')
	}
	for _, t := range a.Ready {
		fmt.Fprintf(&b, "due       %s since %s\n", t.Name, ago(t.Since))
	}
	return b.Bytes()
}

// trace gives an execution trace, of ?for=5s.
func (i *inside) trace(w http.ResponseWriter, r *http.Request) {
	lasts, err := time.ParseDuration(r.URL.Query().Get("for"))
	if text := r.URL.Query().Get("for"); text != "" && (err != nil || lasts < 0 || lasts > flight.Longest) {
		api.WriteError(w, &api.Error{Reason: api.ReasonInvalid, Message: fmt.Sprintf("for=%q is no time up to %v", text, flight.Longest)})
		return
	}
	var b bytes.Buffer
	if err := i.recorder.Dump(r.Context(), &b, lasts); err != nil {
		api.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	_, _ = w.Write(b.Bytes())
}

// serveMetrics answers GET /metrics, and nothing else, to whoever reaches an address, until ctx ends.
func (i *inside) serveMetrics(ctx context.Context, listener net.Listener, log logr.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", i.Handler)
	log.Info("metrics are served", "url", "http://"+listener.Addr().String()+"/metrics")
	return web.Serve(ctx, listener, mux, log)
}

// metricsDoor is the door of --metrics-listen.
func (f agentFlags) metricsDoor(i *inside, log logr.Logger) (d door) {
	if f.metricsListen != "" {
		d.open = func() (serve, error) {
			listener, err := net.Listen("tcp", f.metricsListen)
			if err != nil {
				return nil, fmt.Errorf("cannot serve metrics at %s: %w", f.metricsListen, err)
			}
			return func(ctx context.Context) error { return i.serveMetrics(ctx, listener, log) }, nil
		}
	}
	return d
}

// inside makes what an agent shows of itself.
func (f agentFlags) inside(agent *reconcile.Agent, node meter.Node, figures *meter.Meter, journal meter.Journal) (*inside, error) {
	build := buildInfo()
	i := &inside{agent: agent, began: time.Now(), Handler: meter.NewHandler(meter.Config{
		Meter: figures, Agent: agent, Node: node, Journal: journal, Containers: f.metricsOwn, Version: build.Version, Revision: build.Revision,
	})}
	if f.flight {
		if err := i.recorder.Keep(); err != nil {
			return nil, err
		}
	}
	return i, nil
}
