package spec

import (
	"fmt"
	"slices"

	yamltree "go.yaml.in/yaml/v3"
)

// Restart says what happens when the process exits by itself or is killed.
type Restart struct {
	// Policy is Always (default), OnFailure (exit code other than 0) or Never.
	Policy RestartPolicy `json:"policy,omitzero" class:"live"`
	// Rules decide about some exits in place of the policy; the first that fits counts.
	Rules []RestartRule `json:"rules,omitzero" class:"live"`
	// MaxRestarts is how many restarts in a row are made before the container has failed for good, until its manifest changes or somebody restarts it. A run of backoff.resetAfter begins a new row. Default: no end.
	MaxRestarts int `json:"maxRestarts,omitzero" class:"live" min:"1"`
	// Backoff spaces restarts; the first one after a healthy run is immediate.
	Backoff Backoff `json:"backoff,omitzero" class:"live"`
}

// RestartPolicy names what an exit leads to.
type RestartPolicy string

// The restart policies.
const (
	RestartAlways    RestartPolicy = "Always"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartNever     RestartPolicy = "Never"
)

// RestartRule decides about the exits that it fits: those with one of its codes, signals or reasons.
type RestartRule struct {
	// ExitCodes are codes with which the process may exit; 128 plus its number for a signal.
	ExitCodes []int `json:"exitCodes,omitzero" class:"live" min:"0" max:"255"`
	// Signals are names of signals that may end the process; it may also tell of one as shells and init do, with the code 128 plus its number.
	Signals []string `json:"signals,omitzero" class:"live" format:"signal"`
	// Reasons are reasons of exits: Completed, Error, OOMKilled, Killed, Unhealthy or Unknown.
	Reasons []ExitReason `json:"reasons,omitzero" class:"live"`
	// Action is what is done: Restart, with the wait of backoff, or Stop.
	Action RestartAction `json:"action" class:"live"`
}

// RestartAction names what a rule does.
type RestartAction string

// The actions of rules.
const (
	ActionRestart RestartAction = "Restart"
	ActionStop    RestartAction = "Stop"
)

// ExitReason is a reason of exits about which rules decide.
type ExitReason string

// exitReasons are the reasons of exits that nobody asked for.
var exitReasons = []ExitReason{ExitCompleted, ExitError, ExitOOMKilled, ExitKilled, ExitUnhealthy, ExitUnknown}

// fits tells whether the rule decides about an exit.
func (r RestartRule) fits(e Exit) bool {
	return e.Reason != ExitUnknown && slices.Contains(r.ExitCodes, e.Code) || slices.ContainsFunc(r.Signals, e.by) || slices.Contains(r.Reasons, ExitReason(e.Reason))
}

// by tells whether a signal ended the process, or the one that process 1 ran and told of.
func (e Exit) by(signal string) bool {
	return signal == e.Signal || e.Reason != ExitUnknown && e.Code == 128+Signals[signal]
}

// After tells whether an exit leads to another start.
func (r Restart) After(e Exit) bool {
	for _, rule := range r.Rules {
		if rule.fits(e) {
			return rule.Action == ActionRestart
		}
	}
	switch r.Policy {
	case RestartNever:
		return false
	case RestartOnFailure:
		return e.Failed()
	}
	return true
}

// Backoff is the wait before the second and later restarts: initial, multiplied by factor up to max, forgotten
// after the process has run for resetAfter.
type Backoff struct {
	// Initial is the wait before the second restart. Default 1s.
	Initial Duration `json:"initial,omitzero" class:"live" min:"1ms"`
	// Factor is what each wait is multiplied by for the next. Default 2.
	Factor int `json:"factor,omitzero" class:"live" min:"1" max:"100"`
	// Max bounds the wait. Default 60s.
	Max Duration `json:"max,omitzero" class:"live" min:"1ms"`
	// Jitter is by how many per cent a wait may be longer, so that containers that fail together do not come back together. Default 0.
	Jitter int `json:"jitter,omitzero" class:"live" min:"0" max:"100"`
	// ResetAfter is how long a process must run for its restarts to be forgotten. Default 10m.
	ResetAfter Duration `json:"resetAfter,omitzero" class:"live" min:"1ms"`
}

// agreeRestart checks what is said of restarts.
func (c *checker) agreeRestart(spec *yamltree.Node) {
	rules := at(spec, "restart", "rules")
	if rules != nil && rules.Kind == yamltree.SequenceNode {
		for i, rule := range rules.Content {
			if rule.Kind == yamltree.MappingNode && at(rule, "exitCodes") == nil && at(rule, "signals") == nil && at(rule, "reasons") == nil {
				c.add(rule, fmt.Sprintf("spec.restart.rules[%d]", i), fault{"fits no exit", "say exitCodes, signals or reasons"})
			}
		}
	}
	said := at(spec, "restart", "backoff")
	effective := Defaulted(Container{}, DefaultsVersion).Spec.Restart.Backoff
	for key, field := range map[string]*Duration{"initial": &effective.Initial, "max": &effective.Max} {
		if d, err := ParseDuration(scalar(said, key)); err == nil {
			*field = d
		}
	}
	if effective.Initial > effective.Max {
		n, key := at(said, "max"), "max"
		if n == nil {
			n, key = at(said, "initial"), "initial"
		}
		c.add(n, "spec.restart.backoff."+key, fault{fmt.Sprintf("initial, %s, is more than max, %s", effective.Initial, effective.Max), "set both"})
	}
}
