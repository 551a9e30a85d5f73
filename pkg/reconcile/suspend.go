package reconcile

import (
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// suspended tells whether nothing is to be done about the name. What is removed goes all the same.
func (w *world) suspended() bool {
	return w.Desired != nil && (w.Record.Override.Suspended || w.wanted.Spec.Suspend)
}

// inLine tells whether what is there is of the spec that is wanted.
func (w *world) inLine() bool {
	in, ok := w.current()
	return ok && w.liveCause(in) == ""
}

func (w *world) suspendedText() string {
	if o := w.Record.Override; o.Suspended {
		return fmt.Sprintf("suspended by hand since %s%s; `reconciler clear %s` ends that", clock(o.Since), untilText(o), w.Name)
	}
	return "spec.suspend is true"
}

func untilText(o spec.Override) string {
	if o.Until.IsZero() {
		return ""
	}
	return " until " + clock(o.Until)
}
