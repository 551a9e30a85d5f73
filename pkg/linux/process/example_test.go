package process_test

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// An error of a start names the step that failed, what it was done to, and the kernel's reason.
func ExampleError() {
	p := &process.Program{}
	p.Call("enter directory", "/nowhere", unix.SYS_CHDIR, process.Str("/nowhere"))
	p.Call("execute", "/bin/true", unix.SYS_EXECVE, process.Str("/bin/true"), process.Strs([]string{"true"}), process.Strs(nil))
	_, err := process.Start(p, nil)
	fmt.Println(err)
	if failure, ok := errors.AsType[*process.Error](err); ok {
		fmt.Printf("%q of %q, of the command itself: %v\n", failure.Step, failure.Path, failure.Exec)
	}
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output:
	// cannot enter directory /nowhere: no such file or directory
	// "enter directory" of "/nowhere", of the command itself: false
	// true
}
