package linux_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/promise"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// inherited is how each row of attribute.Table is seen from inside: a script of process 1 with what it says, flags that only prctl(2) shows,
// or the reason why nobody sees it. A text with KEEPER is that of the keeper, and UNLIMITED how many limits are promised to be so.
var inherited = map[string]struct {
	script, want string
	flags        string
	unseen       string
}{
	"session, process group, terminal": {script: `cut -d ')' -f 2 /proc/1/stat | cut -d ' ' -f 3-6`, want: "0 1 1 0"},
	"ignored signals":                  {script: `grep SigIgn: /proc/self/status; true`, want: "SigIgn:\t0000000000000000"},
	"signal handlers":                  {script: `grep SigCgt: /proc/self/status`, want: "SigCgt:\t0000000000000000"},
	"signal mask":                      {script: `grep SigBlk: /proc/1/status`, want: "SigBlk:\t0000000000000000"},
	"pending signals, timers, alarms":  {script: `grep Pnd: /proc/1/status; wc -c < /proc/1/timers`, want: "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n0"},
	"alternate signal stack":           {unseen: "execve(2) resets it, and /proc does not show it"},
	"signal at the parent's death":     {flags: "pdeathsig=0"},
	"child subreaper":                  {flags: "subreaper=0"},

	"scheduling policy, nice value, reset-on-fork, slice, clamps": {script: `cut -d ')' -f 2 /proc/1/stat | cut -d ' ' -f 18,39,40`, want: "0 0 0"},
	"processor affinity":                        {script: `grep Cpus_allowed_list /proc/1/status`, want: "NODE Cpus_allowed_list"},
	"memory policy":                             {script: `head -n 1 /proc/1/numa_maps | cut -d ' ' -f 2`, want: "default"},
	"input/output priority":                     {script: `ionice -p 1`, want: "none: prio 0"},
	"input/output flusher":                      {unseen: "PR_GET_IO_FLUSHER needs CAP_SYS_RESOURCE"},
	"timer slack":                               {script: `cat /proc/self/timerslack_ns`, want: "50000"},
	"time stamp counter":                        {flags: "tsc=1"},
	"memory failure policy":                     {flags: "mce=2"},
	"execution domain":                          {script: `cat /proc/1/personality`, want: "00000000"},
	"speculation control":                       {script: `grep Speculation_Store_Bypass /proc/1/status`, want: "KEEPER Speculation_Store_Bypass"},
	"core scheduling cookie":                    {unseen: "PR_SCHED_CORE needs CONFIG_SCHED_CORE and tells an address"},
	"transparent huge pages":                    {flags: "thp=0"},
	"merging of equal pages":                    {flags: "merge=0"},
	"core dump filter":                          {script: `cat /proc/1/coredump_filter`, want: "00000033"},
	"dumpable":                                  {flags: "dumpable=1"},
	"memory locks":                              {script: `grep VmLck /proc/1/status`, want: "VmLck:\t       0 kB"},
	"OOM score adjustment":                      {script: `cat /proc/1/oom_score_adj`, want: "0"},
	"session keyring":                           {script: `wc -c < /proc/keys`, want: "0"},
	"default keyring of requests":               {unseen: "keyctl(2) is refused, see the tests of package attribute"},
	"thread and process keyrings":               {unseen: "execve(2) drops them, and keyctl(2) is refused"},
	"refusal of writable and executable memory": {flags: "mdwe=0"},
	"security label":                            {script: `cat /proc/1/attr/current 2>/dev/null`, want: "KEEPER attr"},
	"user, group, additional groups":            {script: `id`, want: "uid=0(root) gid=0(root)"},
	"capabilities, securebits":                  {flags: "securebits=0"},
	"no_new_privs":                              {script: `grep NoNewPrivs /proc/1/status`, want: "NoNewPrivs:\t1"},
	"seccomp filters":                           {script: `grep Seccomp: /proc/1/status`, want: "Seccomp:\t2"},
	"Landlock domain":                           {unseen: "only a refused access shows one, see the tests of package landlock"},
	"descriptors":                               {script: `ls /proc/1/fd; true`, want: "0\n1\n2"}, // without a pipe, which would be open in process 1 for a moment
	"umask":                                     {script: `grep Umask /proc/1/status`, want: "Umask:\t0022"},
	"root and working directory":                {script: `readlink /proc/1/root; readlink /proc/1/cwd`, want: "/\n/"},
	"resource limits":                           {script: `grep -c unlimited /proc/1/limits`, want: "UNLIMITED"},
	"environment, arguments, name":              {script: `cat /proc/1/comm; tr '\0' '\n' < /proc/1/cmdline | head -n 2`, want: "sh\n/bin/sh\n-c"},
}

// flags are those that only prctl(2) shows.
var flags = []struct {
	name   string
	option int
	points bool // the value goes where the second argument points
}{
	{"pdeathsig", unix.PR_GET_PDEATHSIG, true},
	{"subreaper", unix.PR_GET_CHILD_SUBREAPER, true},
	{"tsc", unix.PR_GET_TSC, true},
	{"mce", unix.PR_MCE_KILL_GET, false},
	{"thp", unix.PR_GET_THP_DISABLE, false},
	{"merge", unix.PR_GET_MEMORY_MERGE, false},
	{"dumpable", unix.PR_GET_DUMPABLE, false},
	{"mdwe", unix.PR_GET_MDWE, false},
	{"securebits", unix.PR_GET_SECUREBITS, false},
}

// probe is this test binary as the command of a container.
const probe = "/probe"

func init() {
	if os.Args[0] == probe {
		tellFlags()
		os.Exit(0)
	}
}

// tellFlags says what the flags of this process are.
func tellFlags() {
	for _, f := range flags {
		var pointed int32
		into := uintptr(0)
		if f.points {
			into = uintptr(unsafe.Pointer(&pointed))
		}
		value, err := unix.PrctlRetInt(f.option, into, 0, 0, 0)
		if f.points {
			value = int(pointed)
		}
		if err != nil {
			fmt.Printf("%s: %v\n", f.name, err)
			continue
		}
		fmt.Printf("%s=%d\n", f.name, value)
	}
}

// seeFlags runs this test binary in a container that says nothing but where it is, and its libraries.
func (n *node) seeFlags(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	return n.plain(t, "exec "+probe, func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: self, Destination: probe}}
		for _, dir := range []string{"/lib", "/lib64"} {
			if _, err := os.Stat(dir); err == nil { // the binary is static unless somebody has switched cgo on
				s.Mounts = append(s.Mounts, spec.Mount{Type: spec.MountBind, Source: dir, Destination: dir, Options: []string{"ro", "exec"}})
			}
		}
	})
}

func seeInherited(t *testing.T, n *node, s promise.Section) (seen facts) {
	shown := n.seeFlags(t)
	for _, row := range s.Rows {
		look, ok := inherited[row[0]]
		switch {
		case !ok:
			t.Errorf("nobody looks at %q", row[0])
		case look.flags != "":
			name, _, _ := strings.Cut(look.flags, "=")
			ok = slices.Contains(shown, look.flags) || slices.Contains(shown, name+": invalid argument") // the kernel has no such thing
		case look.script != "":
			got, want := strings.Join(n.plain(t, look.script, nil), "\n"), n.meant(t, look.want)
			if ok = got == want; !ok {
				t.Errorf("%s: got %q, want %q", row[0], got, want)
			}
		}
		if ok {
			seen = append(seen, row)
		}
	}
	if t.Failed() {
		t.Logf("flags: %q", shown)
	}
	return seen
}

// meant is what a text stands for.
func (n *node) meant(t *testing.T, want string) string {
	t.Helper()
	line := func(file, key string) string {
		text, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, key) {
				return strings.TrimSuffix(line, "\n")
			}
		}
		return ""
	}
	switch {
	case want == "UNLIMITED":
		unlimited := 0
		for _, s := range n.promised(t).Sections() {
			for _, row := range s.Rows {
				if s.Title == promise.Limits && slices.Contains(row, "unlimited") {
					unlimited++
				}
			}
		}
		return strconv.Itoa(unlimited)
	case want == "KEEPER attr":
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/attr/current", n.keeper(t))) // EINVAL without a security module that has labels
		return strings.TrimSuffix(string(text), "\n")
	case strings.HasPrefix(want, "KEEPER "):
		return line(fmt.Sprintf("/proc/%d/status", n.keeper(t)), strings.TrimPrefix(want, "KEEPER "))
	case strings.HasPrefix(want, "NODE "):
		return line("/proc/1/status", strings.TrimPrefix(want, "NODE "))
	}
	return want
}
