package main

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestGoal(t *testing.T) {
	o := spec.Object{Status: spec.Status{
		Phase:      spec.PhaseRunning,
		Conditions: []spec.Condition{{Type: spec.ConditionReady, Status: spec.True}},
	}}
	for text, want := range map[string]struct{ there, gone bool }{
		"condition=Ready":         {true, false},
		"condition=Ready=True":    {true, false},
		"condition=Ready=False":   {false, false},
		"condition=Stalled":       {false, false},
		"condition=Stalled=False": {true, false}, // not reported is not so
		"phase=Running":           {true, false},
		"phase=Paused":            {false, false},
		"delete":                  {false, true},
	} {
		var g goal
		if err := g.Set(text); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := g.reached(o, true); got != want.there {
			t.Errorf("%s of a running container: got %t", text, got)
		}
		if got := g.reached(spec.Object{}, false); got != want.gone {
			t.Errorf("%s of a container that is gone: got %t", text, got)
		}
	}
	for _, text := range []string{"", "Ready", "condition=", "condition=Ready=Maybe", "phase=", "phase=running"} {
		var g goal
		if g.Set(text) == nil {
			t.Errorf("%q was taken for a goal", text)
		}
	}
}

func TestSelector(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front"}
	for text, want := range map[string]bool{
		"app=web": true, "app==web": true, "app=db": false, "app!=db": true, "app!=web": false, "app": true, "!app": false,
		"!canary": true, "canary": false, "app=web,tier=front": true, "app=web, tier=back": false, "canary!=yes": true,
	} {
		var s selector
		if err := s.Set(text); err != nil || s.matches(labels) != want {
			t.Errorf("%s: got %t, %v", text, s.matches(labels), err)
		}
	}
	var s selector
	if s.Set("=x") == nil || s.Set("a=b,") == nil {
		t.Error("a label without a key was taken")
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"10m":                  now.Add(-10 * time.Minute),
		"2026-01-31T11:00:00Z": now.Add(-time.Hour),
	} {
		if got, err := parseTime("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-5m", "yesterday", "10"} {
		if got, err := parseTime("since", text, now); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
