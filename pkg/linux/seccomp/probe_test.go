package seccomp_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// asked is a policy whose verdicts the kernel is asked for.
type asked struct {
	what   string
	policy seccomp.Policy
	archs  []seccomp.Arch
}

func policies(t *testing.T) (all []asked) {
	native := []seccomp.Arch{seccomp.Native()}
	for what, caps := range map[string]capability.Set{"default": capability.Default, "default with CAP_SYS_ADMIN": capability.UpTo(unix.CAP_LAST_CAP)} {
		all = append(all, asked{what, seccomp.Default(caps), native})
	}
	arg := func(index uint32, op spec.SeccompOp, value, two uint64) []spec.SeccompArg {
		return []spec.SeccompArg{{Index: index, Op: op, Value: value, ValueTwo: two}}
	}
	rules := []spec.SeccompRule{
		{Names: []string{"read", "write", "exit", "mmap", "clone3", "faccessat2", "socketcall"}, Action: spec.SeccompAllow},
		{Names: []string{"openat", "ioctl"}, Action: spec.SeccompAllow, Args: arg(0, spec.SeccompNotEqual, 40, 0)},
		{Names: []string{"getpid", "fstat"}, Action: spec.SeccompLog, Args: arg(1, spec.SeccompGreater, 1<<32, 0)},
		{Names: []string{"close"}, Action: spec.SeccompTrap, Args: arg(0, spec.SeccompLessOrEqual, 40, 0)},
		{Names: []string{"close"}, Action: spec.SeccompKill, Args: arg(1, spec.SeccompGreaterOrEqual, 1<<32|40, 0)},
		{Names: []string{"clone"}, Action: spec.SeccompTrace, Args: arg(0, spec.SeccompMaskedEqual, 0x7e020000, 0)},
		{Names: []string{"sendto", "sync"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(0), Args: arg(1, spec.SeccompLess, 41, 0)},
		{Names: []string{"mount"}, Action: spec.SeccompKillProcess},
	}
	everywhere := []spec.SeccompArch{spec.SeccompX86, spec.SeccompX32, spec.SeccompARM}
	for what, p := range map[string]spec.SeccompProfile{
		"what is allowed":                {DefaultAction: spec.SeccompErrno, Syscalls: rules},
		"what is allowed, everywhere":    {DefaultAction: spec.SeccompKillProcess, Syscalls: rules, Architectures: everywhere},
		"what is not allowed":            {DefaultAction: spec.SeccompAllow, Syscalls: rules},
		"what is not allowed, anywhere":  {DefaultAction: spec.SeccompLog, Syscalls: rules, Architectures: everywhere},
		"what is not allowed, in 32 bit": {DefaultAction: spec.SeccompTrace, Syscalls: rules, Architectures: everywhere[:1]},
	} {
		policy, archs, err := seccomp.FromProfile(p, seccomp.Native())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asked{what, policy, archs})
	}
	return all
}

// firstTold is the errno that stands for the first verdict: errnos up to 4095 reach the caller, and the kernel has none here.
const firstTold = 1000

// telling is a filter that runs no call: each verdict is told by an errno of its own, from firstTold.
func telling(f seccomp.Filter) (seccomp.Filter, []seccomp.Action) {
	var verdicts []seccomp.Action
	told := map[uint32]uint32{}
	out := make(seccomp.Filter, len(f))
	for i, in := range f {
		if in.Code == unix.BPF_RET|unix.BPF_K {
			if _, ok := told[in.K]; !ok {
				told[in.K] = uint32(seccomp.Errno(unix.Errno(firstTold + len(verdicts))))
				verdicts = append(verdicts, seccomp.Action(in.K))
			}
			in.K = told[in.K]
		}
		out[i] = in
	}
	return out, verdicts
}

// calls are all numbers from 0 to 1024 and those of x32, each with arguments on both sides of every condition, and the same
// by the entry of i386.
func calls(i386 bool) (all []seccomp.Call) {
	values := []uint64{0, 2, 40, 41, 1<<32 | 40, 1<<32 + 41, 0x7e020000, 0x20000, 1<<64 - 1}
	names := map[uint32]string{}
	for name, nr := range seccomp.Native().Calls {
		names[nr] = name
	}
	for nr := range uint32(1025) {
		for _, v := range values {
			args := [6]uint64{v, v}
			// The kernel asks no filter about the calls of its own probes (seccomp_uprobe_exception), and kills whoever makes them elsewhere.
			if name := names[nr]; name != "uprobe" && name != "uretprobe" {
				all = append(all, seccomp.Call{Nr: nr, Arch: seccomp.Native().Audit, Args: args})
			}
			all = append(all, seccomp.Call{Nr: nr | 0x40000000, Arch: seccomp.Native().Audit, Args: args})
			if i386 && v < 1<<32 {
				all = append(all, seccomp.Call{Nr: nr, Arch: unix.AUDIT_ARCH_I386, Args: args})
			}
		}
	}
	return append(all, seccomp.Call{Nr: ^uint32(0), Arch: seccomp.Native().Audit}, seccomp.Call{Nr: 1 << 31, Arch: seccomp.Native().Audit})
}

// question is what a child is asked, in memory that it shares with its parent: a filter, calls, and their errnos.
type question struct {
	memory []byte
	head   *questionHead
	filter []unix.SockFilter
	calls  []seccomp.Call
	errnos []int32
}

type questionHead struct{ filter, calls, done int32 }

// questionSize is the size of its memory.
func questionSize(filter, calls int) int {
	return 16 + 8*filter + calls*(int(unsafe.Sizeof(seccomp.Call{}))+4)
}

// mapQuestion maps a question, of which the counts are already in the file.
func mapQuestion(f *os.File, size int) (q question, err error) {
	if q.memory, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return q, err
	}
	base := unsafe.Pointer(&q.memory[0])
	q.head = (*questionHead)(base)
	filter, calls := int(q.head.filter), int(q.head.calls)
	q.filter = unsafe.Slice((*unix.SockFilter)(unsafe.Add(base, 16)), filter)
	q.calls = unsafe.Slice((*seccomp.Call)(unsafe.Add(base, 16+8*filter)), calls)
	q.errnos = unsafe.Slice((*int32)(unsafe.Add(base, questionSize(filter, 0)+calls*int(unsafe.Sizeof(seccomp.Call{})))), calls)
	return q, nil
}

// ask has a child make the calls below the filter and returns their errnos.
func ask(t *testing.T, f seccomp.Filter, all []seccomp.Call) []int32 {
	t.Helper()
	fd, err := unix.MemfdCreate("question", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "question")
	defer file.Close()
	size := questionSize(len(f), len(all))
	head := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, uint32(len(f))), uint32(len(all)))
	if _, err := file.Write(head); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	q, err := mapQuestion(file, size)
	if err != nil {
		t.Fatal(err)
	}
	copy(q.filter, f)
	copy(q.calls, all)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), prober+"="+answerer, "GOGC=off")
	cmd.ExtraFiles = []*os.File{file}
	out, err := cmd.CombinedOutput()
	if q.head.done != 1 { // after that it kills itself
		t.Fatalf("%d of %d calls made: %v\n%s", q.head.done, len(all), err, out)
	}
	errnos := slices.Clone(q.errnos)
	if err := unix.Munmap(q.memory); err != nil {
		t.Fatal(err)
	}
	return errnos
}

// answerer is the value of prober that makes the test binary answer a question.
const answerer = "question"

// answer is the child: it loads the filter and makes the calls.
func answer() {
	runtime.LockOSThread()
	file := os.NewFile(3, "question")
	st, err := file.Stat()
	if err != nil {
		panic(err)
	}
	q, err := mapQuestion(file, int(st.Size()))
	if err != nil {
		panic(err)
	}
	// Whatever signal would need a system call to return from its handler.
	var every unix.Sigset_t
	for i := range every.Val {
		every.Val[i] = ^every.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &every, nil); err != nil {
		panic(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		panic(err)
	}
	prog := unix.SockFprog{Len: uint16(len(q.filter)), Filter: &q.filter[0]}
	makeCalls(&q, int80(), &prog, seccomp.Native().Audit)
}

// makeCalls loads the filter for this thread, makes the calls, and ends the process by a fault, for below the filter it
// can do nothing else. It is no place for the scheduler, which needs system calls too.
//
//go:nosplit
func makeCalls(q *question, foreign func(nr, arg0, arg1 uintptr) uintptr, prog *unix.SockFprog, native uint32) {
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(prog)))
	if errno == 0 {
		for i := range q.calls {
			c := &q.calls[i]
			if c.Arch == native {
				_, _, errno := unix.RawSyscall(uintptr(c.Nr), uintptr(c.Args[0]), uintptr(c.Args[1]), uintptr(c.Args[2]))
				q.errnos[i] = int32(errno)
			} else {
				q.errnos[i] = -int32(foreign(uintptr(c.Nr), uintptr(c.Args[0]), uintptr(c.Args[1])))
			}
		}
		q.head.done = 1
	}
	var nowhere *int
	*nowhere = 0
}

// int80Code is not on a stack: the func value of int80 points to it.
var int80Code unsafe.Pointer

// int80 makes a call of i386 from a 64-bit program: int $0x80 takes its number from eax, where Go passes a first
// argument, and its own first ones from ebx and ecx, where Go passes the next two.
func int80() func(nr, arg0, arg1 uintptr) uintptr {
	code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(err)
	}
	copy(code, "\xcd\x80\xc3") // int $0x80; ret
	int80Code = unsafe.Pointer(&code[0])
	function := &int80Code // a func value points to the address of its code
	return *(*func(nr, arg0, arg1 uintptr) uintptr)(unsafe.Pointer(&function))
}

// The kernel's verdict on every number, by every entry of the machine, is what the policy says: a filter that is the
// same but for telling its verdicts is loaded and asked.
func TestTheKernelGivesEveryVerdict(t *testing.T) {
	kerneltest.Root(t)
	i386 := exec.Command(i386exit(t)).Run() == nil
	t.Logf("i386 programs run here: %v", i386)
	for _, a := range policies(t) {
		t.Run(a.what, func(t *testing.T) {
			f, err := seccomp.Compile(a.policy, a.archs...)
			if err != nil {
				t.Fatal(err)
			}
			told, verdicts := telling(f)
			all, meaning, wrong := calls(i386), seccomp.Meaning(a.policy, a.archs), 0
			seen := map[seccomp.Action]bool{}
			for i, errno := range ask(t, told, all) {
				n := int(errno) - firstTold
				if n < 0 || n >= len(verdicts) {
					t.Fatalf("%+v: errno %d is no verdict", all[i], errno)
				}
				seen[verdicts[n]] = true
				if want := meaning(all[i]); verdicts[n] != want {
					if wrong++; wrong < 10 {
						t.Errorf("%+v: got %#x, want %#x", all[i], verdicts[n], want)
					}
				}
			}
			t.Logf("%d calls, %d of %d verdicts seen", len(all), len(seen), len(verdicts))
		})
	}
}
