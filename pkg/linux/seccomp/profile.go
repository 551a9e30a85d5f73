package seccomp

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
)

// Default is the policy of a container that does not say seccomp: Unconfined. It allows what ordinary programs use and
// leaves out what reaches beyond a container or has often been a way out of one: keyrings, io_uring, userfaultfd,
// kexec, modules, swap, new namespaces, exotic socket families. A call that serves a capability is allowed to those
// who can have it: caps is the bounding set.
func Default(caps capability.Set) Policy {
	p := Policy{Denied: Errno(unix.EPERM), Unknown: Errno(unix.ENOSYS), X32: Errno(unix.ENOSYS), Foreign: Kill}
	for _, g := range granted {
		if caps&g.by != 0 {
			p.Rules = append(p.Rules, Rule{Calls: g.calls, Then: Allow})
		}
	}
	p.Rules = append(p.Rules, conditional...)
	p.Rules = append(p.Rules, Rule{Calls: ordinary, Then: Allow})
	return p
}

// granted are the calls allowed to those who can have one of the capabilities.
var granted = []struct {
	by    capability.Set
	calls []string
}{
	{capability.Of(unix.CAP_SYS_ADMIN), []string{
		"clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "listns", "lookup_dcookie", "mount",
		"mount_setattr", "move_mount", "open_tree", "open_tree_attr", "pivot_root", "quotactl", "quotactl_fd", "setdomainname",
		"sethostname", "setns", "umount2", "unshare",
	}},
	{capability.Of(unix.CAP_SYS_ADMIN, unix.CAP_BPF), []string{"bpf"}},
	{capability.Of(unix.CAP_SYS_ADMIN, unix.CAP_PERFMON), []string{"perf_event_open"}},
	{capability.Of(unix.CAP_SYS_ADMIN, unix.CAP_SYSLOG), []string{"syslog"}},
	{capability.Of(unix.CAP_DAC_READ_SEARCH), []string{"open_by_handle_at"}},
	{capability.Of(unix.CAP_SYS_BOOT), []string{"reboot"}},
	{capability.Of(unix.CAP_SYS_CHROOT), []string{"chroot"}},
	{capability.Of(unix.CAP_SYS_MODULE), []string{"delete_module", "finit_module", "init_module"}},
	{capability.Of(unix.CAP_SYS_NICE), []string{"mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"}},
	{capability.Of(unix.CAP_SYS_PACCT), []string{"acct"}},
	{capability.Of(unix.CAP_SYS_PTRACE), []string{"kcmp", "pidfd_getfd", "process_madvise"}},
	{capability.Of(unix.CAP_SYS_RAWIO), []string{"ioperm", "iopl"}},
	{capability.Of(unix.CAP_SYS_TIME), []string{"clock_settime", "settimeofday"}},
	{capability.Of(unix.CAP_SYS_TTY_CONFIG), []string{"vhangup"}},
}

// Values of personality(2).
const (
	linux32 = 0x0008    // PER_LINUX32
	uname26 = 0x0020000 // UNAME26
)

const (
	int32Bits  = 1<<32 - 1 // all that the kernel reads of an int argument
	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

// conditional are the calls judged by their arguments.
var conditional = []Rule{
	// Processes and threads, but no namespaces. The flags of clone3 lie in memory, out of a filter's sight: ENOSYS makes C libraries take clone.
	{[]string{"clone"}, []Condition{{0, Equal, namespaces, 0}}, Allow},
	{[]string{"clone3"}, nil, Errno(unix.ENOSYS)},

	{[]string{"personality"}, []Condition{{0, Equal, int32Bits, 0}}, Allow},
	{[]string{"personality"}, []Condition{{0, Equal, int32Bits, linux32}}, Allow},
	{[]string{"personality"}, []Condition{{0, Equal, int32Bits, uname26}}, Allow},
	{[]string{"personality"}, []Condition{{0, Equal, int32Bits, uname26 | linux32}}, Allow},
	{[]string{"personality"}, []Condition{{0, Equal, int32Bits, int32Bits}}, Allow}, // asks for the present one

	// The families of servers. vsock reaches the hypervisor, and naming a rare one loads its module into the node's kernel.
	// EAFNOSUPPORT is what a kernel without the family says.
	{[]string{"socket", "socketpair"}, []Condition{{0, Equal, int32Bits, unix.AF_UNIX}}, Allow},
	{[]string{"socket", "socketpair"}, []Condition{{0, Equal, int32Bits, unix.AF_INET}}, Allow},
	{[]string{"socket", "socketpair"}, []Condition{{0, Equal, int32Bits, unix.AF_INET6}}, Allow},
	{[]string{"socket", "socketpair"}, []Condition{{0, Equal, int32Bits, unix.AF_NETLINK}}, Allow},
	{[]string{"socket", "socketpair"}, []Condition{{0, Equal, int32Bits, unix.AF_PACKET}}, Allow},
	{[]string{"socket", "socketpair"}, nil, Errno(unix.EAFNOSUPPORT)},
}

// ordinary are the calls allowed to everybody whatever their arguments.
var ordinary = []string{
	// Files.
	"access", "cachestat", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
	"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat",
	"fcntl", "fdatasync", "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock", "fremovexattr", "fsetxattr",
	"fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "getxattrat",
	"ioctl", "lchown", "lgetxattr", "link", "linkat", "listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr",
	"lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "name_to_handle_at", "newfstatat", "open", "openat",
	"openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
	"readlink", "readlinkat", "readv", "removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir", "sendfile",
	"setxattr", "setxattrat", "splice", "stat", "statfs", "statmount", "statx", "symlink", "symlinkat", "sync",
	"sync_file_range", "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice",
	"write", "writev",

	// Waiting for files, and other descriptors.
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
	"fanotify_mark", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy",
	"io_getevents", "io_pgetevents", "io_setup", "io_submit", "memfd_create", "memfd_secret", "poll", "ppoll", "pselect6",
	"select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime",

	// Memory.
	"brk", "madvise", "map_shadow_stack", "membarrier", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap",
	"mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease",
	"process_vm_readv", "process_vm_writev", "remap_file_pages", "get_mempolicy",

	// Processes, threads and signals.
	"alarm", "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_wait",
	"futex_waitv", "futex_wake", "get_robust_list", "getitimer", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
	"getrlimit", "getrusage", "getsid", "gettid", "ioprio_get", "ioprio_set", "kill", "pause", "pidfd_open",
	"pidfd_send_signal", "prctl", "prlimit64", "ptrace", "restart_syscall", "rseq", "rseq_slice_yield",
	"rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
	"rt_tgsigqueueinfo", "set_robust_list", "set_tid_address", "setitimer", "setpgid", "setpriority", "setrlimit", "setsid",
	"sigaltstack", "tgkill", "times", "tkill", "uprobe", "uretprobe", "vfork", "wait4", "waitid",

	// Scheduling and time.
	"adjtimex", "clock_adjtime", "clock_getres", "clock_gettime", "clock_nanosleep", "getcpu", "gettimeofday", "nanosleep",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
	"sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam",
	"sched_setscheduler", "sched_yield", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
	"timer_settime",

	// Users and restrictions.
	"capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid",
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lsm_get_self_attr", "lsm_list_modules",
	"lsm_set_self_attr", "seccomp", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid",
	"setreuid", "setuid",

	// Sockets and System V and POSIX messages.
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "mq_getsetattr", "mq_notify",
	"mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "recvfrom", "recvmmsg",
	"recvmsg", "semctl", "semget", "semop", "semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shmat", "shmctl",
	"shmdt", "shmget", "shutdown",

	// The machine.
	"getrandom", "sysinfo", "uname",
}
