package attribute_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// report prints what a process has, as the kernel shows it.
const report = `
cat /proc/self/status | grep -E '^(Sig(Q|Blk|Ign|Cgt)|Shd|Cap|NoNew|Seccomp:|Cpus_allowed_list|Uid|Gid|Groups|Umask|THP)' | grep -v SigQ
cut -d ')' -f 2 /proc/self/stat | awk '{print "session leader:", ($4 == '$$') "", "terminal:", $5, "nice:", $17, "policy:", $39, "rt:", $38}'
tail -n +2 /proc/self/limits | sed 's/  */ /g; s/ $//'
echo oom_score_adj: $(cat /proc/self/oom_score_adj)
echo coredump_filter: $(cat /proc/self/coredump_filter)
echo personality: $(cat /proc/self/personality)
echo timer slack: $(cat /proc/self/timerslack_ns)
echo ionice: $(ionice -p $$)
echo descriptors:
ls -1 /proc/$$/fd
echo end of descriptors
echo memory policy: $(head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2)
echo keys: $(grep -c polluted /proc/keys)
env | sort
`

// pollute gives the calling thread and process what a container must not find.
func pollute(t *testing.T) {
	t.Helper()
	must := func(what string, err error) {
		if err != nil {
			t.Fatalf("cannot pollute %s: %v", what, err)
		}
	}
	prctl := func(what string, option int, args ...uintptr) {
		all := append(args, 0, 0, 0, 0)
		must(what, unix.Prctl(option, all[0], all[1], all[2], all[3]))
	}
	sys := func(what string, nr uintptr, args ...uintptr) {
		all := append(args, 0, 0, 0, 0, 0, 0)
		if _, _, errno := unix.RawSyscall6(nr, all[0], all[1], all[2], all[3], all[4], all[5]); errno != 0 {
			must(what, errno)
		}
	}
	must("nice", unix.Setpriority(unix.PRIO_PROCESS, 0, 5))
	unix.Umask(0o077)
	var set unix.CPUSet
	set.Set(0)
	must("affinity", unix.SchedSetaffinity(0, &set))
	must("nofile", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 999, Max: nofileMax(t)}))
	must("core", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY}))
	must("stack", unix.Setrlimit(unix.RLIMIT_STACK, &unix.Rlimit{Cur: 9 << 20, Max: unix.RLIM_INFINITY}))
	sys("ioprio", unix.SYS_IOPRIO_SET, 1, 0, 3<<13)
	prctl("timer slack", unix.PR_SET_TIMERSLACK, 1)
	prctl("huge pages", unix.PR_SET_THP_DISABLE, 1)
	prctl("securebits", unix.PR_SET_SECUREBITS, 1<<2|1<<0) // no fixup of capabilities by the uid, no root privileges
	sys("personality", unix.SYS_PERSONALITY, 0x0040000)
	nodes := uint64(1)
	sys("memory policy", unix.SYS_SET_MEMPOLICY, 2, uintptr(unsafe.Pointer(&nodes)), 8)
	must("oom_score_adj", os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0))
	must("coredump_filter", os.WriteFile("/proc/self/coredump_filter", []byte("0x7"), 0))
	must("HOME", os.Setenv("RECONCILER_SECRET", "polluted"))

	ignore := [4]uint64{1} // SIG_IGN
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGPIPE, unix.SIGUSR1, 34, 64} {
		sys("ignored signal", unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&ignore)), 0, 8)
	}
	block := uint64(1<<(unix.SIGTERM-1) | 1<<(unix.SIGUSR2-1))
	sys("signal mask", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&block)), 0, 8)

	// A keyring that only who possesses it sees.
	if ring, err := unix.KeyctlJoinSessionKeyring("polluted"); err != nil {
		t.Logf("no keyrings here: %v", err)
	} else {
		must("session keyring", unix.KeyctlSetperm(ring, 0x3f000000))
	}
	fd, err := unix.Open("/etc", unix.O_RDONLY, 0) // no O_CLOEXEC
	must("descriptor", err)
	t.Cleanup(func() { _ = unix.Close(fd) })
}

// start runs the plan and returns what it prints.
func start(t *testing.T, plan attribute.Plan) string {
	t.Helper()
	p := &process.Program{}
	attribute.Early(p, plan)
	attribute.Late(p, plan, nil)
	return output(t, p)
}

func output(t *testing.T, p *process.Program) string {
	t.Helper()
	out, err := run(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run starts a program with its output going to a pipe and waits for its end.
func run(t *testing.T, p *process.Program) (string, error) {
	t.Helper()
	return runWith(t, p, map[string]*os.File{})
}

// runWith is run with further files.
func runWith(t *testing.T, p *process.Program, files map[string]*os.File) (string, error) {
	t.Helper()
	proc, err := attribute.OpenProc()
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	files["proc"], files["stdout"], files["stderr"] = proc, w, w
	child, err := process.Start(p, files)
	w.Close()
	if err != nil {
		return "", err
	}
	defer child.Pidfd.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := process.Reap(child.Pidfd); err != nil || exit != (process.Exit{}) {
		t.Fatalf("%v, %v: %s", exit, err, out)
	}
	return string(out), nil
}

// newPlan is what a manifest that says nothing gets, to run a script of busybox.
func newPlan(t *testing.T, script string) attribute.Plan {
	t.Helper()
	node, err := capability.ReadNode(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	caps, err := capability.NewSets(spec.Capabilities{}, 0, node)
	if err != nil {
		t.Fatal(err)
	}
	ceilings, err := attribute.ReadCeilings(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	limits, err := attribute.Rlimits(nil, ceilings)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := new(seccomp.Cache).Default(caps.Bounding)
	if err != nil {
		t.Fatal(err)
	}
	return attribute.Plan{
		Rlimits: limits, Umask: 0o022, Capabilities: caps, LastCap: node.Last, Seccomp: filter,
		Argv: []string{"busybox", "sh", "-c", script}, Paths: []string{"/bin/busybox"},
		Env: attribute.Environ(nil, "/root", "web"),
	}
}

// A container finds exactly what the table says, however its parent looks.
func TestNothingIsInherited(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.InSubprocess(t, func(t *testing.T) {
		runtime.LockOSThread()
		plan := newPlan(t, report)
		pollute(t)
		signals, err := process.ReadSignals(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		plan.Ignored = signals.Ignored
		limits := func(n int) string {
			return fmt.Sprintf("%s %s", number(plan.Rlimits[n].Soft), number(plan.Rlimits[n].Hard))
		}
		caps := fmt.Sprintf("%016x", uint64(capability.Default))
		early := []string{
			"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "THP_enabled:\t1",
			"Cpus_allowed_list:\t" + processors(t), "session leader: 1 terminal: 0 nice: 0 policy: 0 rt: 0",
			"oom_score_adj: 0", "coredump_filter: 00000033", "personality: 00000000", "timer slack: 50000", "ionice: none: prio 0",
			"memory policy: default", "keys: 0",
		}
		late := []string{
			"SigCgt:\t0000000000000000",
			"CapInh:\t0000000000000000", "CapPrm:\t" + caps, "CapEff:\t" + caps, "CapBnd:\t" + caps, "CapAmb:\t0000000000000000",
			"NoNewPrivs:\t1", "Seccomp:\t2", "Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0", "Groups:\t ", "Umask:\t0022",
			"Max cpu time unlimited unlimited seconds", "Max core file size 0 unlimited bytes", "Max stack size 8388608 unlimited bytes",
			"Max open files " + limits(unix.RLIMIT_NOFILE) + " files", "Max locked memory " + limits(unix.RLIMIT_MEMLOCK) + " bytes",
			"Max processes " + limits(unix.RLIMIT_NPROC) + " processes", "Max pending signals " + limits(unix.RLIMIT_SIGPENDING) + " signals",
			"Max nice priority 0 0", "Max realtime priority 0 0",
			"HOME=/root", "HOSTNAME=web", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=reconciler",
		}
		// Without the resets none of it holds: the parent is as bad as this test believes. First, because some attributes
		// belong to the memory that parent and child share.
		p := &process.Program{}
		attribute.Late(p, plan, nil)
		bad := strings.Split(output(t, p), "\n")
		for _, line := range early {
			if slices.Contains(bad, line) {
				t.Errorf("without the reset there is %q as well", line)
			}
		}

		got := start(t, plan)
		lines := strings.Split(got, "\n")
		for _, line := range slices.Concat(early, late) {
			if !slices.Contains(lines, line) {
				t.Errorf("missing: %q", line)
			}
		}
		if !strings.Contains(got, "descriptors:\n0\n1\n2\nend of descriptors") {
			t.Error("there are other descriptors than 0, 1 and 2")
		}
		if strings.Contains(got, "RECONCILER_SECRET") {
			t.Error("the environment of the parent is there")
		}
		if t.Failed() {
			t.Logf("got:\n%s", got)
		}
	})
}

func nofileMax(t *testing.T) uint64 {
	t.Helper()
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	return r.Max
}

func number(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

// processors are those the test may use, before it is polluted: all there are.
func processors(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/1/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:\t"); ok {
			return strings.TrimSpace(list)
		}
	}
	t.Fatal("no Cpus_allowed_list")
	return ""
}

func TestUser(t *testing.T) {
	kerneltest.Root(t)
	node, err := capability.ReadNode(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const script = `grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):' /proc/self/status; echo again >/dev/stdout; ulimit -n`
	for _, c := range []struct {
		what     string
		add      []string
		newPrivs bool
		caps     string // inheritable, permitted, effective and ambient alike
	}{
		{"nothing added", nil, false, "0000000000000000"},
		{"a capability added", []string{"NET_BIND_SERVICE"}, false, "0000000000000400"},
		{"a capability added, new privileges allowed", []string{"NET_BIND_SERVICE"}, true, "0000000000000400"},
	} {
		t.Run(c.what, func(t *testing.T) {
			plan := newPlan(t, script)
			plan.UID, plan.Owner, plan.GID, plan.Groups, plan.NewPrivs = 1000, 1000, 1001, []uint32{29, 44}, c.newPrivs
			if plan.Capabilities, err = capability.NewSets(spec.Capabilities{Add: c.add}, plan.UID, node); err != nil {
				t.Fatal(err)
			}
			plan.Rlimits[unix.RLIMIT_NOFILE] = attribute.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: 65, Hard: 66}
			nnp := "1"
			if c.newPrivs {
				nnp = "0"
			}
			want := "Uid:\t1000\t1000\t1000\t1000\nGid:\t1001\t1001\t1001\t1001\nGroups:\t29 44 \n" +
				"CapInh:\t" + c.caps + "\nCapPrm:\t" + c.caps + "\nCapEff:\t" + c.caps + "\nCapAmb:\t" + c.caps + "\n" +
				"NoNewPrivs:\t" + nnp + "\nSeccomp:\t2\nagain\n65\n"
			if got := start(t, plan); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// An adjustment that was asked for is there; one that the node may not make is an error that names the step.
func TestOOMScoreAdj(t *testing.T) {
	kerneltest.Root(t)
	plan := newPlan(t, "cat /proc/self/oom_score_adj")
	plan.OOMScoreAdj = spec.NewOOMScore(700)
	if got := start(t, plan); got != "700\n" {
		t.Errorf("got %q", got)
	}
	node, err := capability.ReadNode(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	plan.OOMScoreAdj = spec.NewOOMScore(-700)
	if node.Have.Has(unix.CAP_SYS_RESOURCE) {
		if got := start(t, plan); got != "-700\n" {
			t.Errorf("got %q", got)
		}
		return
	}
	p := &process.Program{}
	attribute.Early(p, plan)
	attribute.Late(p, plan, nil)
	_, err = run(t, p)
	if failure, ok := errors.AsType[*process.Error](err); !ok || failure.Errno != unix.EACCES || failure.Step != "set OOM score adjustment to -700" {
		t.Errorf("got %v", err)
	}
}

func TestCommandIsLookedFor(t *testing.T) {
	kerneltest.Root(t)
	plan := newPlan(t, "echo found")
	plan.Paths = []string{"/no/busybox", "/etc/passwd/busybox", "/etc/passwd", "/bin/busybox"}
	if got := start(t, plan); got != "found\n" {
		t.Errorf("got %q", got)
	}
}
