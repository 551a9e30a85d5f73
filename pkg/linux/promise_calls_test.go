package linux_test

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/promise"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// filterOf is the filter that the kernel has for process 1 of a container, which runs meanwhile. See PTRACE_SECCOMP_GET_FILTER in ptrace(2).
func (n *node) filterOf(t *testing.T, change func(*spec.ContainerSpec)) seccomp.Filter {
	t.Helper()
	c := promise.Container(n.path("rootfs"), "/bin/sleep", "1000")
	if change != nil {
		change(&c.Spec)
	}
	n.run(t, c, 1)
	defer func() { must(t, n.Destroy(t.Context(), promise.Name, 1, false)) }()
	pid := n.await(t, promise.Name, 1, in(spec.InstanceRunning)).Pid
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	must(t, unix.PtraceSeize(pid))
	must(t, unix.PtraceInterrupt(pid))
	var status unix.WaitStatus
	_, err := unix.Wait4(pid, &status, unix.WALL, nil)
	must(t, err)
	defer unix.PtraceDetach(pid)
	filter, err := seccompFilter(pid)
	must(t, err)
	return filter
}

// seccompFilter is the newest filter of a thread that this one has stopped.
func seccompFilter(pid int) (seccomp.Filter, error) {
	const getFilter = 0x420c
	filter := make(seccomp.Filter, 4096) // BPF_MAXINSNS
	size, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, getFilter, uintptr(pid), 0, uintptr(unsafe.Pointer(&filter[0])), 0, 0)
	if errno != 0 {
		return nil, os.NewSyscallError("ptrace", errno)
	}
	return filter[:size], nil
}

// verdict asks a filter about a call, of this machine unless it says another.
func verdict(t *testing.T, f seccomp.Filter, c seccomp.Call) string {
	t.Helper()
	if c.Arch == 0 {
		c.Arch = seccomp.Native().Audit
	}
	action, err := f.Verdict(c)
	must(t, err)
	return promise.Verdict(action)
}

// probes are arguments on both sides of the conditions that a policy may have.
var probes = [][6]uint64{
	{}, {1, 1, 1, 1, 1, 1}, {8}, {0x20000}, {1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}, {40}, {0x7e020000}, {1 << 40},
}

// judgements are a filter's verdicts on the calls of this machine, by name.
func judgements(t *testing.T, f seccomp.Filter) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, nr := range seccomp.Native().Calls {
		for _, args := range probes {
			got := verdict(t, f, seccomp.Call{Nr: nr, Args: args})
			if all[name] != "" && all[name] != got {
				got = "by argument"
				all[name] = got
				break
			}
			all[name] = got
		}
	}
	return all
}

// seeCalls takes a promised call that this machine does not have as seen.
func seeCalls(t *testing.T, n *node, s promise.Section) (seen facts) {
	all := judgements(t, n.filterOf(t, nil))
	for _, row := range s.Rows {
		calls := slices.DeleteFunc(strings.Fields(row[1]), func(name string) bool { return all[name] != "" })
		for name, got := range all {
			if got == row[0] {
				calls = append(calls, name)
			}
		}
		slices.Sort(calls)
		seen = append(seen, []string{row[0], strings.Join(calls, " ")})
	}
	return seen
}

// seeGrantedCalls looks at a container without any capability, and at one for each that opens something.
func seeGrantedCalls(t *testing.T, n *node, s promise.Section) (seen facts) {
	only := func(names ...string) map[string]string {
		return judgements(t, n.filterOf(t, func(c *spec.ContainerSpec) {
			c.Security.Capabilities = spec.Capabilities{Drop: []string{spec.CapabilityAll}, Add: names}
		}))
	}
	none := only()
	for _, row := range s.Rows {
		calls := slices.DeleteFunc(strings.Fields(row[1]), func(name string) bool { return none[name] != "" })
		for name, got := range only(row[0]) {
			if got == "allowed" && none[name] != "allowed" {
				calls = append(calls, name)
			}
		}
		slices.Sort(calls)
		seen = append(seen, []string{row[0], strings.Join(calls, " ")})
	}
	return seen
}

// seeJudgedCalls asks about arguments that fit each rule, and about one that fits none.
func seeJudgedCalls(t *testing.T, n *node, s promise.Section) (seen facts) {
	f := n.filterOf(t, nil)
	for i, rule := range promise.Judged() {
		args := [6]uint64{0x7fff0000} // no rule is about it
		for _, c := range rule.If {
			args[c.Arg] = c.Value | ^c.Mask
		}
		got := map[string]bool{}
		for _, name := range rule.Calls {
			if nr, ok := seccomp.Native().Calls[name]; ok {
				got[verdict(t, f, seccomp.Call{Nr: nr, Args: args})] = true
			}
		}
		seen = append(seen, []string{s.Rows[i][0], promise.Condition(rule), strings.Join(slices.Sorted(maps.Keys(got)), ", ")})
	}
	return seen
}

func seeOtherCalls(t *testing.T, n *node, s promise.Section) facts {
	f := n.filterOf(t, nil)
	other, x32 := uint32(unix.AUDIT_ARCH_I386), verdict(t, f, seccomp.Call{Nr: 1 << 30})
	if runtime.GOARCH == "arm64" {
		other = unix.AUDIT_ARCH_ARM
	}
	return facts{
		{s.Rows[0][0], verdict(t, f, seccomp.Call{Nr: 4000})},
		{s.Rows[1][0], x32},
		{s.Rows[2][0], verdict(t, f, seccomp.Call{Nr: 1, Arch: other})},
	}
}
