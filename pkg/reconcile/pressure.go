package reconcile

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// pressureWords are the kinds of hint about pressure: what processes wait for, and what a manifest says of it.
var pressureWords = map[spec.EventKind]struct {
	waits string
	of    func(spec.Pressure) spec.PressureTrigger
}{
	spec.EventMemoryPressure: {"memory", func(p spec.Pressure) spec.PressureTrigger { return p.Memory }},
	spec.EventCPUPressure:    {"a processor", func(p spec.Pressure) spec.PressureTrigger { return p.CPU }},
	spec.EventIOPressure:     {"block devices", func(p spec.Pressure) spec.PressureTrigger { return p.IO }},
}

// tellPressure tells of pressure. There is nothing to look at: the hint is all there is.
func (a *Agent) tellPressure(hint spec.Event) {
	words := pressureWords[hint.Kind]
	message := "its processes lose time waiting for " + words.waits
	if limits := triggerText(words.of(a.pressureOf(hint.Name))); limits != "" {
		message += ": more than " + limits
	}
	a.tell(Event{Name: hint.Name, Warning: true, Reason: string(hint.Kind), Message: message, Count: int(hint.Count)})
}

// pressureOf is what the manifest in force calls pressure.
func (a *Agent) pressureOf(name string) spec.Pressure {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.names[name]; n != nil && n.desired != nil {
		return n.desired.Container.Spec.Pressure
	}
	return spec.Pressure{}
}

// triggerText is "some 150ms or full 50ms in 1s".
func triggerText(t spec.PressureTrigger) string {
	var limits []string
	if t.Some > 0 {
		limits = append(limits, "some "+t.Some.String())
	}
	if t.Full > 0 {
		limits = append(limits, "full "+t.Full.String())
	}
	if limits == nil {
		return ""
	}
	return fmt.Sprintf("%s in %s", strings.Join(limits, " or "), cmp.Or(t.Window, spec.DefaultPressureWindow))
}
