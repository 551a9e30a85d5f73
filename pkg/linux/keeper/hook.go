package keeper

import (
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
)

// The words that a program is started with to be a keeper, without a Command.
const (
	hookName = "reconciler"
	hookVerb = "keeper"
)

// hooked tells that main has called Hook. It is a fact about the program, which is why the program has it and no Client.
var hooked atomic.Bool

// Hook makes this program one that can be a keeper. In a process that was started as a keeper it keeps containers and does not return; in
// any other it returns at once. Call it first in main, and in TestMain, before flags are looked at and goroutines are started:
//
//	func main() {
//		keeper.Hook()
//		...
//
// A program without it needs a Config.Command that runs Main.
func Hook() {
	if len(os.Args) > 1 && os.Args[0] == hookName && os.Args[1] == hookVerb {
		os.Exit(Main(os.Args[2:]))
	}
	hooked.Store(true)
}

// checkHook refuses to start a program as a keeper that would be something else.
func checkHook(cfg Config) error {
	if len(cfg.Command) > 0 || hooked.Load() {
		return nil
	}
	return fmt.Errorf("cannot start a keeper: this program does not know how to be one: %w\nhint: call keeper.Hook first in main (in a test, in TestMain), or name another command that does", fs.ErrInvalid)
}
