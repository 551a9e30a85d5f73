// Package meter measures an agent: it counts what the loop and the API tell it, asks at each scrape how things stand, and answers in the text format of
// Prometheus. It refuses to decide anything, and holds nobody up: who tells it something adds to an atomic, and who scrapes waits for other scrapes alone.
//
// Names and units are those of Prometheus's conventions: base units, _total for what only grows. What there is, is in rows.go and
// containerrows.go, and what they write is what docs/metrics.md is made of.
package meter

//go:generate go run ../../internal/genmetrics ../../docs/metrics.md

import (
	"strconv"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Meter counts what happens. It is a reconcile.Meter, and its Answered is for api.Config. Make one with New.
type Meter struct {
	passes    metric.Counts // by outcome
	pass      *metric.Spread
	wait      *metric.Spread
	actions   metric.Counts             // by verb and result
	action    map[string]*metric.Spread // by verb, all of them
	converged *metric.Spread
	relist    *metric.Spread
	relists   metric.Counts // by result
	missed    metric.Count
	drifts    metric.Counts // by field
	warnings  metric.Counts // by reason
	frozen    *metric.Spread
	size      *metric.Spread
	requests  metric.Counts // by role and code
	request   *metric.Spread
	lost      metric.Count // statistics that could not be read
}

// The results of what is tried.
const (
	resultOK     = "ok"
	resultFailed = "failed"
)

// New makes a meter in which all is 0. Counts whose labels are known are there from the beginning, so that a first failure is seen as a change.
func New() *Meter {
	m := &Meter{
		pass:      metric.NewSpread(.0005, .001, .005, .025, .1, .5, 2.5, 10, 60),
		wait:      metric.NewSpread(.0001, .001, .01, .1, 1, 10),
		action:    map[string]*metric.Spread{},
		converged: metric.NewSpread(.01, .05, .1, .5, 1, 5, 15, 60, 300),
		relist:    metric.NewSpread(.001, .005, .01, .05, .1, .5, 1, 5),
		frozen:    metric.NewSpread(.001, .005, .01, .025, .05, .1, .25, .5, 1, 5),
		size:      metric.NewSpread(1<<20, 4<<20, 16<<20, 64<<20, 256<<20, 1<<30, 4<<30),
		request:   metric.NewSpread(.0005, .001, .005, .02, .1, .5, 2.5, 10),
	}
	for _, verb := range reconcile.Verbs() {
		m.action[verb] = metric.NewSpread(.001, .005, .025, .1, .5, 2.5, 10, 60, 300)
	}
	for _, outcome := range reconcile.Outcomes() {
		m.passes.With(string(outcome))
	}
	for _, result := range []string{resultOK, resultFailed} {
		m.relists.With(result)
		for _, verb := range reconcile.Verbs() {
			m.actions.With(verb, result)
		}
	}
	return m
}

func resultOf(err error) string {
	if err != nil {
		return resultFailed
	}
	return resultOK
}

// Handed is reconcile.Meter's.
func (m *Meter) Handed(waited time.Duration) { m.wait.Observe(waited.Seconds()) }

// Passed is reconcile.Meter's.
func (m *Meter) Passed(outcome reconcile.Outcome, took time.Duration) {
	m.passes.With(string(outcome)).Add(1)
	m.pass.Observe(took.Seconds())
}

// Acted is reconcile.Meter's.
func (m *Meter) Acted(a reconcile.Action, taken spec.Image, took time.Duration, err error) {
	m.actions.With(a.Verb, resultOf(err)).Add(1)
	if d := m.action[a.Verb]; d != nil {
		d.Observe(took.Seconds())
	}
	if err != nil {
		return
	}
	if a.Verb == reconcile.VerbCheckpoint {
		m.frozen.Observe(time.Duration(taken.Frozen).Seconds())
		m.size.Observe(float64(taken.Bytes))
	}
	if a.Repair {
		for _, field := range a.Fields {
			field, _, _ = strings.Cut(field, "[") // mounts[/data]: what is in brackets is anybody's word
			m.drifts.With(field).Add(1)
		}
	}
}

// Relisted is reconcile.Meter's.
func (m *Meter) Relisted(took time.Duration, missed int, err error) {
	m.relist.Observe(took.Seconds())
	m.relists.With(resultOf(err)).Add(1)
	m.missed.Add(uint64(missed))
}

// Converged is reconcile.Meter's.
func (m *Meter) Converged(took time.Duration) { m.converged.Observe(took.Seconds()) }

// Told is reconcile.Meter's.
func (m *Meter) Told(e reconcile.Event) {
	if e.Warning {
		m.warnings.With(e.Reason).Add(uint64(max(e.Count, 1)))
	}
}

// Answered tells of a request of the API: the caller's role, the status of the answer, and how long it took until that began.
func (m *Meter) Answered(role string, status int, took time.Duration) {
	m.requests.With(role, strconv.Itoa(status)).Add(1)
	m.request.Observe(took.Seconds())
}
