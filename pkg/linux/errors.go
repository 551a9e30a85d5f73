package linux

import (
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// classed is an error that is one more for errors.Is, without a word of it in the text.
type classed struct {
	error
	class error
}

func (e *classed) Unwrap() []error { return []error{e.error, e.class} }

// ofCommand gives a failed start or exec of which only the command is wrong its class.
func ofCommand(err error) error {
	failed, ok := errors.AsType[*process.Error](err)
	switch {
	case !ok || !failed.OfCommand():
		return err
	case start.Missing(failed):
		return &classed{err, spec.ErrCommandNotFound}
	}
	return &classed{err, spec.ErrCommandNotExecutable}
}
