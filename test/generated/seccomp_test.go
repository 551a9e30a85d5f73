package generated

import (
	"runtime"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/test/generated/orders"
)

const all = ^uintptr(0)

// conditional are so many of the candidates that have arguments to ask for.
const conditional = 10

// candidates are system calls that nobody needs here and that do nothing with these arguments, whoever makes them.
var candidates = []orders.Call{
	{Name: "lseek", Nr: unix.SYS_LSEEK, Args: []uintptr{all, 0, 0}},
	{Name: "lseek", Nr: unix.SYS_LSEEK, Args: []uintptr{all, 5, 1}},
	{Name: "lseek", Nr: unix.SYS_LSEEK, Args: []uintptr{all, 1 << 32, 2}},
	{Name: "lseek", Nr: unix.SYS_LSEEK, Args: []uintptr{all, 1<<32 + 5, 0}},
	{Name: "fadvise64", Nr: unix.SYS_FADVISE64, Args: []uintptr{all, 0, 7, 0}},
	{Name: "fadvise64", Nr: unix.SYS_FADVISE64, Args: []uintptr{all, 1 << 40, 1<<40 + 1, 4}},
	{Name: "socket", Nr: unix.SYS_SOCKET, Args: []uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0}},
	{Name: "socket", Nr: unix.SYS_SOCKET, Args: []uintptr{unix.AF_INET, unix.SOCK_DGRAM, 0}},
	{Name: "socket", Nr: unix.SYS_SOCKET, Args: []uintptr{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}},
	{Name: "socket", Nr: unix.SYS_SOCKET, Args: []uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
	{Name: "personality", Nr: unix.SYS_PERSONALITY, Args: []uintptr{0xffffffff}},
	{Name: "mount", Nr: unix.SYS_MOUNT, Args: nil},
	{Name: "umount2", Nr: unix.SYS_UMOUNT2, Args: nil},
	{Name: "unshare", Nr: unix.SYS_UNSHARE, Args: nil},
	{Name: "setns", Nr: unix.SYS_SETNS, Args: []uintptr{all, 0}},
	{Name: "pivot_root", Nr: unix.SYS_PIVOT_ROOT, Args: nil},
	{Name: "chroot", Nr: unix.SYS_CHROOT, Args: nil},
	{Name: "ptrace", Nr: unix.SYS_PTRACE, Args: []uintptr{99999, 0}},
	{Name: "bpf", Nr: unix.SYS_BPF, Args: []uintptr{9999, 0, 0}},
	{Name: "keyctl", Nr: unix.SYS_KEYCTL, Args: []uintptr{99999}},
	{Name: "add_key", Nr: unix.SYS_ADD_KEY, Args: nil},
	{Name: "kexec_load", Nr: unix.SYS_KEXEC_LOAD, Args: []uintptr{0, all, 0, 0xffff0000}},
	{Name: "init_module", Nr: unix.SYS_INIT_MODULE, Args: nil},
	{Name: "swapoff", Nr: unix.SYS_SWAPOFF, Args: nil},
	{Name: "clock_settime", Nr: unix.SYS_CLOCK_SETTIME, Args: []uintptr{0, 0}},
	{Name: "sethostname", Nr: unix.SYS_SETHOSTNAME, Args: []uintptr{0, 1 << 20}},
	{Name: "userfaultfd", Nr: unix.SYS_USERFAULTFD, Args: []uintptr{0xffffffff}},
	{Name: "io_uring_setup", Nr: unix.SYS_IO_URING_SETUP, Args: nil},
	{Name: "perf_event_open", Nr: unix.SYS_PERF_EVENT_OPEN, Args: []uintptr{0, 0, all, all, 0}},
	{Name: "process_vm_readv", Nr: unix.SYS_PROCESS_VM_READV, Args: []uintptr{0, 0, 0, 0, 0, 1}},
	{Name: "memfd_create", Nr: unix.SYS_MEMFD_CREATE, Args: nil},
	{Name: "open_by_handle_at", Nr: unix.SYS_OPEN_BY_HANDLE_AT, Args: []uintptr{all, 0, 0}},
	{Name: "fanotify_init", Nr: unix.SYS_FANOTIFY_INIT, Args: []uintptr{0xffffffff, 0}},
	{Name: "syslog", Nr: unix.SYS_SYSLOG, Args: []uintptr{99999, 0, 0}},
	{Name: "landlock_create_ruleset", Nr: unix.SYS_LANDLOCK_CREATE_RULESET, Args: []uintptr{0, 0, 1}},
	{Name: "cachestat", Nr: 451, Args: []uintptr{all, 0, 0, 0}},
	{Name: "a call of a later kernel", Nr: 800, Args: nil},
	{Name: "no call", Nr: 5000, Args: nil},
}

// needed are what a runtime's last steps and a program in Go need, whatever the machine.
var needed = []string{
	"read", "write", "close", "fstat", "newfstatat", "lstat", "stat", "open", "openat", "openat2", "access", "faccessat", "faccessat2", "mmap", "munmap", "mprotect", "madvise", "brk",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "clone", "clone3", "futex", "gettid", "getpid", "getppid", "tgkill", "exit", "exit_group", "nanosleep",
	"clock_gettime", "clock_nanosleep", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "pipe2", "fcntl", "readlink", "readlinkat", "getdents64", "sched_yield",
	"sched_getaffinity", "getrandom", "prlimit64", "getrlimit", "setrlimit", "uname", "getcwd", "prctl", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "execve", "execveat",
	"chdir", "fchdir", "capget", "capset", "setuid", "setgid", "setgroups", "setresuid", "setresgid", "setfsuid", "setfsgid", "fchown", "fchownat", "getuid", "geteuid", "getgid", "getegid",
	"sysinfo", "ppoll", "poll", "close_range", "dup3", "restart_syscall", "timer_create", "timer_settime", "timer_delete", "pread64", "statx", "statfs", "fstatfs", "kill", "wait4", "waitid",
	"getsid", "getpriority", "sched_getscheduler", "ioprio_get", "unlink", "unlinkat", "seccomp", "umask", "getgroups", "mincore", "membarrier",
}

// filter is a profile that forbids some calls, or all but some.
func (s *sample) filter() {
	d := s.dice
	s.orders.Calls = candidates
	if d.percent(40) {
		return
	}
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	s.config.Linux.Seccomp = p
	if runtime.GOARCH == "amd64" {
		p.Architectures = pick(d, nil, []specs.Arch{specs.ArchX86_64}, []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32})
	}
	if d.percent(50) {
		p.DefaultAction = pick(d, specs.ActErrno, specs.ActErrno, specs.ActTrace)
		if d.percent(50) {
			p.DefaultErrnoRet = errno(d)
		}
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: append(slices.Clone(needed), "personality"), Action: specs.ActAllow})
	}
	// Of several rules about one call libseccomp refuses some and orders others by their arguments: test/seccomp is about those.
	names := map[string]bool{"personality": true} // which is needed to look
	for _, c := range candidates[:len(candidates)-2] {
		if !names[c.Name] {
			s.callNames = append(s.callNames, c.Name)
			names[c.Name] = true
		}
	}
	s.callNames = append(shuffled(d, s.callNames), "no_such_call")
	for range d.between(1, 8) {
		p.Syscalls = append(p.Syscalls, s.rule(p.DefaultAction))
	}
}

func errno(d dice) *uint {
	n := uint(pick(d, 1, 2, 22, 38, 95, d.between(1, 133)))
	return &n
}

// rule is about one call or several, whatever the arguments or for some.
func (s *sample) rule(byDefault specs.LinuxSeccompAction) specs.LinuxSyscall {
	d := s.dice
	r := specs.LinuxSyscall{Action: pick(d, specs.ActAllow, specs.ActErrno, specs.ActErrno, specs.ActLog, specs.ActTrace)}
	for r.Action == byDefault { // which runc refuses, or passes over
		r.Action = pick(d, specs.ActAllow, specs.ActErrno, specs.ActLog)
	}
	if (r.Action == specs.ActErrno || r.Action == specs.ActTrace) && d.percent(60) {
		r.ErrnoRet = errno(d)
	}
	r.Names, s.callNames = s.callNames[:1:1], s.callNames[1:]
	i := slices.IndexFunc(candidates[:conditional], func(c orders.Call) bool { return c.Name == r.Names[0] })
	if i < 0 {
		n := d.IntN(3)
		r.Names, s.callNames = append(r.Names, s.callNames[:n]...), s.callNames[n:]
		return r
	}
	for range pick(d, 1, 1, 2) {
		r.Args = append(r.Args, s.argument(candidates[i]))
	}
	return r
}

// argument is a condition that is about an argument of a call.
func (s *sample) argument(call orders.Call) specs.LinuxSeccompArg {
	d := s.dice
	i := d.IntN(len(call.Args))
	arg := specs.LinuxSeccompArg{Index: uint(i), Value: uint64(call.Args[i]), Op: pick(d, specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpMaskedEqual)}
	if arg.Op == specs.OpMaskedEqual {
		arg.ValueTwo, arg.Value = arg.Value, pick(d, uint64(all), 0xffffffff, 1<<32, 0xff)
		arg.ValueTwo &= arg.Value
	}
	return arg
}
