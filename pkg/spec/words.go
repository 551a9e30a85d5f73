package spec

import "fmt"

// CapabilityNames are the capabilities of capabilities(7) without CAP_, each at the index of its number.
var CapabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// CapabilityAll is the word for every capability.
const CapabilityAll = "ALL"

// RlimitNames are the limits of setrlimit(2) in lower case without RLIMIT_, each at the index of its number
// (asm-generic/resource.h: amd64 and arm64).
var RlimitNames = []string{
	"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile",
	"memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
}

// Signals are the numbers of signal(7) on amd64 and arm64, by name. Real-time signals count from
// SIGRTMIN as the C library has it, 34: SIGRTMIN+3.
var Signals = signals()

func signals() map[string]int {
	m := map[string]int{
		"SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGILL": 4, "SIGTRAP": 5, "SIGABRT": 6, "SIGBUS": 7, "SIGFPE": 8,
		"SIGKILL": 9, "SIGUSR1": 10, "SIGSEGV": 11, "SIGUSR2": 12, "SIGPIPE": 13, "SIGALRM": 14, "SIGTERM": 15, "SIGSTKFLT": 16,
		"SIGCHLD": 17, "SIGCONT": 18, "SIGSTOP": 19, "SIGTSTP": 20, "SIGTTIN": 21, "SIGTTOU": 22, "SIGURG": 23, "SIGXCPU": 24,
		"SIGXFSZ": 25, "SIGVTALRM": 26, "SIGPROF": 27, "SIGWINCH": 28, "SIGIO": 29, "SIGPWR": 30, "SIGSYS": 31, "SIGRTMIN": 34,
	}
	for n := 1; n <= 30; n++ {
		m[fmt.Sprintf("SIGRTMIN+%d", n)] = 34 + n
	}
	return m
}

// SysctlNames are the kernel parameters outside net. and fs.mqueue. that belong to a container's ipc namespace.
var SysctlNames = []string{
	"kernel.auto_msgmni", "kernel.msg_next_id", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",
	"kernel.sem", "kernel.sem_next_id",
	"kernel.shm_next_id", "kernel.shm_rmid_forced", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
}

// SysctlPrefixes begin the kernel parameters of a container's network and ipc namespaces.
var SysctlPrefixes = []string{"net.", "fs.mqueue."}

// SysctlUserPrefix begins the kernel parameters of a user namespace, see namespaces(7).
const SysctlUserPrefix = "user."
