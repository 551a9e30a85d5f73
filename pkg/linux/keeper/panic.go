package keeper

import (
	"fmt"
	"runtime/debug"

	"github.com/go-logr/logr"
)

// survive, deferred, reports a panic and ends it: what one instance breaks must not be felt by the others. after, if not nil, is called
// only then.
func survive(log logr.Logger, after func(), keysAndValues ...any) {
	p := recover()
	if p == nil {
		return
	}
	log.Error(fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "survived a panic", keysAndValues...)
	if after != nil {
		after()
	}
}
