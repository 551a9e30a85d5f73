package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/test/generated/orders"
	"github.com/seed31d4122e/reconciler/test/generated/probe/first"
)

// reason is the error number in an error, without the path.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// statusFields are the fields of /proc/self/status that a runtime decides on.
var statusFields = []string{
	"Umask", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
	"Speculation_Store_Bypass", "SpeculationIndirectBranch", "Cpus_allowed_list", "Mems_allowed_list", "SigIgn", "SigBlk", "NSpid", "NSpgid", "NSsid", "CoreDumping",
}

func status(r report, _ orders.Orders) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		r.set("status", "", err)
		return
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if slices.Contains(statusFields, key) {
			r["status "+key] = strings.Join(strings.Fields(value), " ")
		}
	}
}

func process(r report, _ orders.Orders) {
	r["args"] = fmt.Sprintf("%q %q", os.Args[0], os.Args[2:])
	r["env"] = strings.Join(slices.Sorted(slices.Values(os.Environ())), "\n")
	buffer := make([]byte, 4096)
	n, err := unix.Getcwd(buffer)
	r.set("working directory", strings.TrimRight(string(buffer[:max(n, 0)]), "\x00"), err)
	r["is leader of its session"] = fmt.Sprint(func() bool { sid, _ := unix.Getsid(0); return sid == os.Getpid() }())
	for name, file := range map[string]string{"oom_score_adj": "/proc/self/oom_score_adj", "groups are settable": "/proc/self/setgroups", "loginuid": "/proc/self/loginuid"} {
		text, err := os.ReadFile(file)
		r.set(name, strings.TrimSpace(string(text)), err)
	}
	for name, option := range map[string]int{
		"dumpable": unix.PR_GET_DUMPABLE, "keep capabilities": unix.PR_GET_KEEPCAPS, "securebits": unix.PR_GET_SECUREBITS,
		"timer slack": unix.PR_GET_TIMERSLACK, "no transparent huge pages": unix.PR_GET_THP_DISABLE,
	} {
		n, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		r.set(name, strconv.Itoa(n), err)
	}
	var sig int32
	err = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&sig)), 0, 0, 0)
	r.set("signal at the parent's death", strconv.Itoa(int(sig)), err)
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	r.set("priority", strconv.Itoa(priority), err)
	policy, _, errno := unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	r.set("scheduling policy", fmt.Sprint(policy), failed(errno))
	io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	r.set("io priority", fmt.Sprint(io), failed(errno))
	persona, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	r.set("personality", fmt.Sprintf("%#x", persona), failed(errno))
}

func failed(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// descriptors lists what is open, but for what reading the list opens.
func descriptors(r report, _ orders.Orders) {
	entries, err := os.ReadDir("/proc/self/fd")
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		switch {
		case err != nil, target == "anon_inode:[eventpoll]", target == "anon_inode:[eventfd]": // the Go runtime's poller, and the list itself
		case len(e.Name()) > 1 || e.Name() > "2":
			open = append(open, e.Name()+" "+target)
		default:
			open = append(open, e.Name())
		}
	}
	r.set("descriptors", strings.Join(open, ", "), err)
}

var limitNames = []string{"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"}

func limits(r report, _ orders.Orders) {
	for i, name := range limitNames {
		var l unix.Rlimit
		err := unix.Prlimit(0, i, nil, &l)
		if i == unix.RLIMIT_NOFILE {
			l.Cur, l.Max, err = first.NoFile[0], first.NoFile[1], failed(syscall.Errno(first.Errno))
		}
		r.set("rlimit "+name, fmt.Sprintf("%d:%d", l.Cur, l.Max), err)
	}
}

// names are the host's, and the control groups.
func names(r report, _ orders.Orders) {
	var u unix.Utsname
	err := unix.Uname(&u)
	r.set("host name", unix.ByteSliceToString(u.Nodename[:]), err)
	r.set("domain name", unix.ByteSliceToString(u.Domainname[:]), err)
	text, err := os.ReadFile("/proc/self/cgroup")
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := range lines {
		_, lines[i], _ = strings.Cut(lines[i], ":")
	}
	slices.Sort(lines)
	r.set("control groups", strings.Join(lines, "\n"), err)
	interfaces, err := os.ReadFile("/proc/self/net/dev")
	var list []string
	for line := range strings.Lines(string(interfaces)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			list = append(list, strings.TrimSpace(name))
		}
	}
	slices.Sort(list)
	r.set("network interfaces", strings.Join(list, " "), err)
}

// namespaces says of each kind which one it is, if the orders know its file.
func namespaces(r report, o orders.Orders) {
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"} {
		link, err := os.Readlink("/proc/self/ns/" + kind)
		if whose, ok := o.Namespaces[link]; ok {
			link = whose
		} else {
			link = "new"
		}
		r.set("namespace "+kind, link, err)
	}
	for _, file := range []string{"uid_map", "gid_map", "timens_offsets"} {
		text, err := os.ReadFile("/proc/self/" + file)
		r.set(file, strings.Join(strings.Fields(string(text)), " "), err)
	}
}

func sysctls(r report, o orders.Orders) {
	for _, name := range o.Sysctls {
		text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		r.set("sysctl "+name, strings.Join(strings.Fields(string(text)), " "), err)
	}
}

// calls are made last: what they may do cannot disturb the rest.
func calls(r report, o orders.Orders) {
	for _, c := range o.Calls {
		var a [6]uintptr
		copy(a[:], c.Args)
		_, _, errno := unix.RawSyscall6(c.Nr, a[0], a[1], a[2], a[3], a[4], a[5])
		verdict := "is made"
		if errno != 0 {
			verdict = unix.ErrnoName(errno)
		}
		r[fmt.Sprintf("call %s%#x", c.Name, c.Args)] = verdict
	}
}
