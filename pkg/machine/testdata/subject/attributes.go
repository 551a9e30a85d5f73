package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	parts["attributes"] = attributes
	parts["mounts"] = mounts
	parts["chosen"] = chosen
}

// attributes looks at all that a process inherits and is not to lose.
func attributes(string) func() error {
	before := look()
	return func() error { return same(before, look()) }
}

func same(before, now map[string]string) error {
	var errs []error
	for key, was := range before {
		if now[key] != was {
			errs = append(errs, fmt.Errorf("%s: was %q, is %q", key, was, now[key]))
		}
	}
	return errors.Join(errs...)
}

// volatile are lines that change all the time.
var volatile = regexp.MustCompile(`^(Vm|Rss|voluntary|nonvoluntary|Threads|State|SigQ|SigPnd|ShdPnd|SigBlk|SigCgt|FDSize|Hugetlb|untag|x86_|Speculation|NStgid|NSpid|NSpgid|NSsid)`)

func look() map[string]string {
	all := map[string]string{}
	for _, file := range []string{"status", "limits"} {
		for line := range strings.Lines(read("/proc/self/" + file)) {
			if key, value, _ := strings.Cut(line, ":"); !volatile.MatchString(key) && file == "status" {
				all["status "+key] = value
			} else if file == "limits" && len(line) > 26 {
				all["limit "+line[:26]] = strings.Join(strings.Fields(line[26:]), " ")
			}
		}
	}
	for _, file := range []string{
		"cmdline", "environ", "oom_score_adj", "cgroup", "coredump_filter", "personality", "setgroups", "uid_map", "gid_map", "loginuid", "../sys/kernel/hostname",
		"../sys/kernel/domainname", "../sys/kernel/shmmax", "../sys/kernel/msgmax", "../sys/kernel/sem", "../sys/net/ipv4/ip_unprivileged_port_start", "../sys/net/ipv4/ping_group_range", "../sys/net/mptcp/enabled", "../sys/fs/mqueue/msg_max", "attr/current",
	} {
		all[file] = read("/proc/self/" + file)
	}
	for _, file := range []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} {
		all[file] = read(file)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for name, option := range map[string]int{"securebits": unix.PR_GET_SECUREBITS, "keep capabilities": unix.PR_GET_KEEPCAPS, "dumpable": unix.PR_GET_DUMPABLE, "no new privileges": unix.PR_GET_NO_NEW_PRIVS, "seccomp": unix.PR_GET_SECCOMP, "THP": unix.PR_GET_THP_DISABLE, "timing": unix.PR_GET_TIMING, "timer slack": unix.PR_GET_TIMERSLACK} {
		v, _, errno := unix.Syscall6(unix.SYS_PRCTL, uintptr(option), 0, 0, 0, 0, 0)
		all[name] = fmt.Sprint(v, errno)
	}
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	all["nice"] = fmt.Sprint(prio, err)
	ioprio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	all["ioprio"] = fmt.Sprint(ioprio, errno)
	var set unix.CPUSet
	all["affinity"] = fmt.Sprint(unix.SchedGetaffinity(0, &set), set.Count())
	policy, _, errno := unix.Syscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	all["scheduler"] = fmt.Sprint(policy, errno)
	mem, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, 0, 0, 0, 0, 0, 0)
	all["memory policy"] = fmt.Sprint(mem, errno)
	_, _, errno = unix.Syscall(unix.SYS_ADD_KEY, 0, 0, 0)
	all["a forbidden call"] = fmt.Sprint(errno)
	all["stdin"] = link0(0)
	for _, kind := range []string{"stdout", "stderr"} {
		f, err := os.OpenFile("/dev/"+kind, os.O_WRONLY, 0)
		all["open "+kind] = fmt.Sprint(err)
		if err == nil {
			f.Close()
		}
	}
	return all
}

func link0(fd int) string {
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return fmt.Sprint(link, err)
}

func read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return errors.Unwrap(err).Error()
	}
	return string(text)
}

// mounts looks at what is mounted where, at what cannot be written or seen, and at /dev.
func mounts(string) func() error {
	before := lookAtMounts()
	return func() error {
		now := lookAtMounts()
		err := same(before, now)
		for key := range now {
			if _, ok := before[key]; !ok {
				err = errors.Join(err, fmt.Errorf("%s is new: %q", key, now[key]))
			}
		}
		return err
	}
}

func lookAtMounts() map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(read("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		rest := f[6:]
		i := slices.Index(rest, "-")
		flags := strings.Split(f[5], ",")
		slices.Sort(flags)
		propagation := ""
		if i > 0 {
			propagation, _, _ = strings.Cut(rest[0], ":")
		}
		options := strings.Split(rest[i+3], ",")
		slices.Sort(options)
		all["mount "+f[4]] = strings.Join([]string{strings.Join(flags, ","), propagation, rest[i+1], withoutPaths(options)}, " ")
	}
	for _, dir := range []string{"/dev", "/dev/pts", "/proc/acpi", "/sys/firmware", "/dev/mqueue"} {
		_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				all["tree "+name] = errors.Unwrap(err).Error()
				return nil
			}
			if strings.HasPrefix(name, "/dev/fd/") || name != dir && strings.HasPrefix(name, "/dev/shm/") {
				return nil
			}
			var st unix.Stat_t
			err = unix.Lstat(name, &st)
			all["tree "+name] = fmt.Sprintf("%o %d:%d %x %v", st.Mode, st.Uid, st.Gid, st.Rdev, err)
			return nil
		})
	}
	for _, name := range []string{"/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/kcore", "/proc/keys", "/proc/bus"} {
		_, err := os.ReadFile(name)
		_, err2 := os.OpenFile(name, os.O_WRONLY, 0)
		all["open "+name] = fmt.Sprint(err, err2)
	}
	return all
}

func withoutPaths(options []string) string {
	return strings.Join(slices.DeleteFunc(options, func(o string) bool {
		return strings.Contains(o, "/") || strings.HasPrefix(o, "lowerdir") || strings.HasPrefix(o, "upperdir") || strings.HasPrefix(o, "workdir")
	}), ",")
}

// chosen changes what a process may choose by itself.
func chosen(string) func() error {
	must("rlimit", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 4096}))
	must("oom", os.WriteFile("/proc/self/oom_score_adj", []byte("777"), 0))
	must("subreaper", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	must("dump filter", os.WriteFile("/proc/self/coredump_filter", []byte("0x7"), 0))
	unix.Umask(0o027)
	ofThread := thread()
	before := look()
	return func() error {
		var reaper int32
		err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, ptr(&reaper), 0, 0, 0)
		return errors.Join(err, want("subreaper", reaper, 1), ofThread(), same(before, look()))
	}
}

// thread changes what is one thread's alone.
func thread() func() error {
	ask, answer := make(chan bool), make(chan string)
	go func() {
		runtime.LockOSThread()
		var one unix.CPUSet
		one.Set(0)
		must("affinity", unix.SchedSetaffinity(0, &one))
		_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, 1, 0, 2<<13|5)
		call("ioprio", errno)
		must("nice", unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 9))
		must("slack", unix.Prctl(unix.PR_SET_TIMERSLACK, 77_000, 0, 0, 0))
		must("name", unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&[]byte("chosen\x00")[0])), 0, 0, 0))
		for range ask {
			var now unix.CPUSet
			err := unix.SchedGetaffinity(0, &now)
			prio, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
			nice, _ := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
			slack, _, _ := unix.Syscall6(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0, 0, 0, 0)
			answer <- fmt.Sprint(now.Count(), now.IsSet(0), err, prio, nice, slack, strings.TrimSpace(read("/proc/thread-self/comm")))
		}
	}()
	look := func() string { ask <- true; return <-answer }
	before := look()
	return func() error { return want("of a thread", look(), before) }
}
