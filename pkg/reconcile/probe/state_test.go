package probe_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ask is a probe with thresholds.
func ask(failures, successes int) *spec.Probe {
	return &spec.Probe{TCP: &spec.TCPProbe{Port: 80}, FailureThreshold: failures, SuccessThreshold: successes}
}

var told = &spec.Probe{Notify: true}

// letters show a Health: S started, R ready, L live; small ones that it is not.
func letters(h probe.Health) string {
	text := []byte("srl")
	for i, is := range []bool{h.Started, h.Ready, h.Live} {
		if is {
			text[i] -= 'a' - 'A'
		}
	}
	return string(text)
}

var kindOf = map[byte]probe.Kind{'s': probe.Startup, 'r': probe.Readiness, 'l': probe.Liveness}

// Results lead from one Health to the next. A step is a kind, + or - for the result, and what is known then; ! says that this is new.
func TestState(t *testing.T) {
	for name, c := range map[string]struct {
		probes spec.Probes
		known  probe.Health
		begin  string
		steps  string
	}{
		"no probes":                   {begin: "SRL", steps: "s-=SRL r-=SRL l-=SRL"},
		"startup alone":               {probes: spec.Probes{Startup: ask(3, 1)}, begin: "srL", steps: "s-=srL! s-=srL s+=SRL! s-=SRL"},
		"startup fails for good":      {probes: spec.Probes{Startup: ask(2, 1)}, begin: "srL", steps: "s-=srL! s-=srl! s-=srl s+=SRL!"},
		"startup is interrupted":      {probes: spec.Probes{Startup: ask(2, 1)}, begin: "srL", steps: "s-=srL! s+=SRL!"},
		"startup before the others":   {probes: spec.Probes{Startup: ask(3, 1), Readiness: ask(1, 1), Liveness: ask(1, 1)}, begin: "srL", steps: "r+=srL l-=srL s+=SrL! s-=SrL r+=SRL! l-=SRl!"},
		"readiness":                   {probes: spec.Probes{Readiness: ask(2, 1)}, begin: "SrL", steps: "r-=SrL! r+=SRL! r-=SRL r-=SrL! r-=SrL r+=SRL!"},
		"readiness is sure":           {probes: spec.Probes{Readiness: ask(1, 3)}, begin: "SrL", steps: "r+=SrL r+=SrL r-=SrL! r+=SrL r+=SrL r+=SRL! r-=SrL!"},
		"failures in a row":           {probes: spec.Probes{Liveness: ask(3, 1)}, begin: "SRL", steps: "l-=SRL l-=SRL l+=SRL l-=SRL l-=SRL l-=SRl!"},
		"liveness comes back":         {probes: spec.Probes{Liveness: ask(1, 1)}, begin: "SRL", steps: "l-=SRl! l-=SRl l+=SRL!"},
		"liveness and readiness":      {probes: spec.Probes{Readiness: ask(1, 1), Liveness: ask(2, 1)}, begin: "SrL", steps: "l-=SrL r+=SRL! l-=SRl! r-=Srl! l+=SrL!"},
		"told":                        {probes: spec.Probes{Startup: told, Readiness: told}, begin: "srL", steps: "r+=srL s+=SrL! r+=SRL!"},
		"defaults":                    {probes: spec.Probes{Liveness: &spec.Probe{TCP: &spec.TCPProbe{Port: 1}}}, begin: "SRL", steps: "l-=SRL l-=SRL l-=SRl!"},
		"known to be ready":           {probes: spec.Probes{Startup: ask(1, 1), Readiness: ask(2, 1)}, known: probe.Health{Started: true, Ready: true, Live: true, Since: time.Unix(1, 0)}, begin: "SRL", steps: "s-=SRL r-=SRL r-=SrL!"},
		"known to be unready":         {probes: spec.Probes{Readiness: ask(1, 1)}, known: probe.Health{Started: true, Live: true, Message: "readiness: before", Since: time.Unix(1, 0)}, begin: "SrL", steps: "r+=SRL!"},
		"known to be dead":            {probes: spec.Probes{Liveness: ask(1, 1)}, known: probe.Health{Started: true, Ready: true, Message: "liveness: before", Since: time.Unix(1, 0)}, begin: "SRl", steps: "l+=SRL!"},
		"known before its probe went": {probes: spec.Probes{}, known: probe.Health{Message: "startup: before", Since: time.Unix(1, 0)}, begin: "SRL", steps: ""},
	} {
		now := time.Unix(100, 0)
		s := probe.NewState(c.probes, c.known, now)
		if got := letters(s.Health()); got != c.begin {
			t.Errorf("%s: begins as %s, want %s", name, got, c.begin)
		}
		if c.known.Message != "" && letters(c.known) == c.begin && s.Health() != c.known {
			t.Errorf("%s: begins as %+v, was %+v", name, s.Health(), c.known)
		}
		for i, step := range strings.Fields(c.steps) {
			now = now.Add(time.Second)
			before := s.Health()
			r := probe.Result{Time: now}
			if step[1] == '-' {
				r.Err = errors.New("refused")
			}
			changed := s.Feed(kindOf[step[0]], r)
			h := s.Health()
			got := fmt.Sprintf("%s=%s", step[:2], letters(h))
			if changed {
				got += "!"
			}
			if got != step {
				t.Errorf("%s: step %d is %s, want %s", name, i, got, step)
			}
			if flipped := letters(h) != letters(before); flipped != h.Since.Equal(now) {
				t.Errorf("%s: step %d, %s: since %v, now %v", name, i, step, h.Since, now)
			}
			if well := letters(h) == "SRL"; well && h.Message != "" || !well && step[1] == '-' && changed && !strings.HasSuffix(h.Message, ": refused") {
				t.Errorf("%s: step %d, %s: message %q", name, i, step, h.Message)
			}
		}
	}
}

// The message is of the probe that is to blame for the worst.
func TestMessages(t *testing.T) {
	s := probe.NewState(spec.Probes{Readiness: ask(1, 1), Liveness: ask(1, 1)}, probe.Health{}, time.Unix(1, 0))
	for _, step := range []struct {
		kind probe.Kind
		said string
		want string
	}{
		{probe.Readiness, "busy", "readiness: busy"},
		{probe.Liveness, "dead\x1b[2J\nindeed", "liveness: dead?[2J?indeed"},
		{probe.Readiness, "busier", "liveness: dead?[2J?indeed"},
		{probe.Liveness, "", "readiness: busier"},
		{probe.Readiness, strings.Repeat("ü", 1000), "readiness: " + strings.Repeat("ü", 128) + "..."},
		{probe.Readiness, "", ""},
	} {
		r := probe.Result{Time: time.Unix(2, 0)}
		if step.said != "" {
			r.Err = errors.New(step.said)
		}
		s.Feed(step.kind, r)
		if got := s.Health().Message; got != step.want {
			t.Errorf("after %s %q: %q, want %q", step.kind, step.said, got, step.want)
		}
	}
}

// When probes change in a run, what is known stays, and what was counted of those that are as they were.
func TestWith(t *testing.T) {
	failed := probe.Result{Err: errors.New("refused"), Time: time.Unix(2, 0)}
	s := probe.NewState(spec.Probes{Liveness: ask(2, 1)}, probe.Health{}, time.Unix(1, 0))
	s.Feed(probe.Liveness, failed)
	more := s.With(spec.Probes{Startup: ask(1, 1), Readiness: ask(1, 1), Liveness: ask(2, 1)}, time.Unix(3, 0))
	if h := more.Health(); letters(h) != "SRL" || more.Asks(probe.Startup) {
		t.Errorf("with more probes: %+v", h)
	}
	more.Feed(probe.Liveness, failed)
	if h := more.Health(); letters(h) != "SRl" {
		t.Errorf("the failures begin anew: %+v", h)
	}
	other := s.With(spec.Probes{Liveness: ask(3, 1)}, time.Unix(3, 0))
	other.Feed(probe.Liveness, failed)
	other.Feed(probe.Liveness, failed)
	if h := other.Health(); letters(h) != "SRL" {
		t.Errorf("failures of another probe count: %+v", h)
	}
	none := more.With(spec.Probes{}, time.Unix(4, 0))
	if h := none.Health(); letters(h) != "SRL" || h.Message != "" {
		t.Errorf("without probes: %+v", h)
	}
	if s.Health() != probe.NewState(spec.Probes{Liveness: ask(2, 1)}, probe.Health{}, time.Unix(1, 0)).Health() || reflect.DeepEqual(s, more) {
		t.Error("a State is no value")
	}
}
