package seccomp_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
)

// A child can park below the default filter.
func TestParkBelowTheDefaultFilter(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.Seccomp)
	filter, err := new(seccomp.Cache).Default(capability.Default)
	if err != nil {
		t.Fatal(err)
	}
	p := &process.Program{}
	p.Call("set no_new_privs", "", unix.SYS_PRCTL, process.Int(unix.PR_SET_NO_NEW_PRIVS), process.Int(1))
	seccomp.Append(p, filter)
	p.Park()
	p.Call("execute", "/bin/true", unix.SYS_EXECVE, process.Str("/bin/true"), process.Strs([]string{"true"}), process.Strs(nil))
	child, err := process.StartParked(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer child.Pidfd.Close()
	if exit, err := process.Reap(child.Pidfd); exit != (process.Exit{}) || err != nil {
		t.Errorf("exit = %v, %v", exit, err)
	}
}
