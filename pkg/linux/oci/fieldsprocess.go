package oci

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// processFields are those of the process, in the order in which they are translated.
var processFields = []Field{
	{"process.terminal", "tty", func(t *translator) error {
		t.s.TTY, t.s.Stdin = t.process.Terminal, !t.process.Terminal
		return nil
	}},
	{"process.consoleSize", "(the terminal's size)", consoleSize},
	{"process.consoleSize.height", "", nil},
	{"process.consoleSize.width", "", nil},
	{"process.user.uid", "user", func(t *translator) error {
		u := t.process.User
		if u.UID == math.MaxUint32 || u.GID == math.MaxUint32 {
			return invalid("%d is no id", uint32(math.MaxUint32))
		}
		t.s.User = fmt.Sprintf("%d:%d", u.UID, u.GID)
		return nil
	}},
	{"process.user.gid", "user", nil},
	{"process.user.umask", "umask", func(t *translator) error {
		if mask := t.process.User.Umask; mask != nil {
			t.s.Umask = fmt.Sprintf("%04o", *mask&0o777)
		}
		return nil
	}},
	{"process.user.additionalGids", "additionalGroups", func(t *translator) error {
		for _, gid := range t.process.User.AdditionalGids {
			if text := strconv.FormatUint(uint64(gid), 10); !slices.Contains(t.s.AdditionalGroups, text) { // the kernel keeps each as often as it is said
				t.s.AdditionalGroups = append(t.s.AdditionalGroups, text)
			}
		}
		return nil
	}},
	{"process.args", "command", func(t *translator) error {
		if t.s.Command = t.process.Args; len(t.s.Command) == 0 || t.s.Command[0] == "" {
			return invalid("it must not be empty")
		}
		return nil
	}},
	{"process.env", "env", environment},
	{"process.cwd", "workingDir", func(t *translator) error {
		if t.s.WorkingDir = t.process.Cwd; !path.IsAbs(t.s.WorkingDir) {
			return invalid("%q is not absolute", t.s.WorkingDir)
		}
		return nil
	}},
	{"process.capabilities", "security.capabilities", capabilities},
	{"process.capabilities.bounding", "security.capabilities.bounding", nil},
	{"process.capabilities.effective", "security.capabilities.effective", nil},
	{"process.capabilities.inheritable", "security.capabilities.inheritable", nil},
	{"process.capabilities.permitted", "security.capabilities.permitted", nil},
	{"process.capabilities.ambient", "security.capabilities.ambient", nil},
	{"process.rlimits", "rlimits", rlimits},
	{"process.rlimits[].type", "rlimits", nil},
	{"process.rlimits[].soft", "rlimits.soft", nil},
	{"process.rlimits[].hard", "rlimits.hard", nil},
	{"process.noNewPrivileges", "security.allowNewPrivileges", func(t *translator) error {
		t.s.Security.AllowNewPrivileges = !t.process.NoNewPrivileges
		return nil
	}},
	{"process.apparmorProfile", "security.apparmor", func(t *translator) error {
		t.s.Security.AppArmor = t.process.ApparmorProfile
		return nil
	}},
	{"process.selinuxLabel", "security.selinux.label", func(t *translator) error {
		t.s.Security.SELinux.Label = t.process.SelinuxLabel
		return nil
	}},
	{"process.oomScoreAdj", "oomScoreAdj", func(t *translator) error {
		if adj := t.process.OOMScoreAdj; adj != nil {
			if *adj < -1000 || *adj > 1000 {
				return invalid("%d is not between -1000 and 1000", *adj)
			}
			t.s.OOMScoreAdj = spec.NewOOMScore(*adj)
		}
		return nil
	}},
	{"process.scheduler", "scheduler", scheduler},
	{"process.scheduler.policy", "scheduler.policy", nil},
	{"process.scheduler.nice", "scheduler.nice", nil},
	{"process.scheduler.priority", "scheduler.priority", nil},
	{"process.scheduler.flags", "scheduler.flags", nil},
	{"process.scheduler.runtime", "scheduler.runtime", nil},
	{"process.scheduler.deadline", "scheduler.deadline", nil},
	{"process.scheduler.period", "scheduler.period", nil},
	{"process.ioPriority", "ioPriority", func(t *translator) error {
		t.s.IOPriority = spec.IOPriority{}
		if p := t.process.IOPriority; p != nil {
			class, ok := strings.CutPrefix(string(p.Class), "IOPRIO_CLASS_")
			if !ok {
				return invalid("class %q is unknown", p.Class)
			}
			t.s.IOPriority = spec.IOPriority{Class: spec.IOClass(class), Priority: p.Priority}
			if t.s.IOPriority.Class == spec.IOClassIdle {
				t.s.IOPriority.Priority = 0 // it has none
			}
		}
		return nil
	}},
	{"process.ioPriority.class", "ioPriority.class", nil},
	{"process.ioPriority.priority", "ioPriority.priority", nil},
	{"process.execCPUAffinity", "cpuAffinity (of further processes)", func(t *translator) error {
		t.s.CPUAffinity = spec.CPUAffinity{}
		if a := t.process.ExecCPUAffinity; a != nil {
			t.s.CPUAffinity = spec.CPUAffinity{Initial: a.Initial, Final: a.Final}
		}
		return nil
	}},
	{"process.execCPUAffinity.initial", "cpuAffinity.initial", nil},
	{"process.execCPUAffinity.final", "cpuAffinity.final", nil},
}

func consoleSize(t *translator) error {
	t.out.ConsoleSize = spec.TerminalSize{}
	size := t.process.ConsoleSize
	if size == nil || !t.process.Terminal { // it is to be ignored then
		return nil
	}
	if size.Height > math.MaxUint16 || size.Width > math.MaxUint16 {
		return invalid("no terminal has %d rows of %d", size.Height, size.Width)
	}
	t.out.ConsoleSize = spec.TerminalSize{Rows: uint16(size.Height), Columns: uint16(size.Width)}
	return nil
}

// environment: of a variable that is said twice the last one counts.
func environment(t *translator) error {
	t.s.Env = make(map[string]string, len(t.process.Env))
	for _, entry := range t.process.Env {
		key, value, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			return invalid("%q is no NAME=VALUE", entry)
		}
		t.s.Env[key] = value
	}
	return nil
}

// capabilities: what is not said is none, and a name that nobody knows is left out, as the specification has it.
func capabilities(t *translator) error {
	said := t.process.Capabilities
	if said == nil {
		said = &specs.LinuxCapabilities{}
	}
	known := func(set string, names []string) (list []string) {
		for _, name := range names {
			bare := strings.TrimPrefix(name, "CAP_")
			switch {
			case !slices.Contains(spec.CapabilityNames, bare):
				t.warn("capability %s is unknown and left out of the %s set", name, set)
			case !slices.Contains(list, bare):
				list = append(list, bare)
			}
		}
		return list
	}
	c := spec.Capabilities{
		Bounding: known("bounding", said.Bounding), Effective: known("effective", said.Effective), Permitted: known("permitted", said.Permitted),
		Inheritable: known("inheritable", said.Inheritable), Ambient: known("ambient", said.Ambient),
	}
	c.Ambient = slices.DeleteFunc(c.Ambient, func(name string) bool { // the kernel takes no others, which engines and users are used to
		return !slices.Contains(c.Permitted, name) || !slices.Contains(c.Inheritable, name)
	})
	if !c.Explicit() {
		c.Drop = []string{spec.CapabilityAll}
	}
	t.s.Security.Capabilities = c
	return nil
}

func rlimits(t *translator) error {
	for _, r := range t.process.Rlimits {
		name, ok := strings.CutPrefix(r.Type, "RLIMIT_")
		name = strings.ToLower(name)
		_, twice := t.s.Rlimits[name]
		switch {
		case !ok || !slices.Contains(spec.RlimitNames, name):
			return invalid("type %q is unknown", r.Type)
		case twice:
			return invalid("%s is said twice", r.Type)
		case r.Soft > r.Hard:
			return invalid("the soft %s, %d, is more than the hard one, %d", r.Type, r.Soft, r.Hard)
		}
		if t.s.Rlimits == nil {
			t.s.Rlimits = map[string]spec.Rlimit{}
		}
		t.s.Rlimits[name] = spec.Rlimit{Soft: int64(r.Soft), Hard: int64(r.Hard)} // unlimited is -1, and all bits to the kernel
	}
	return nil
}

func scheduler(t *translator) error {
	t.s.Scheduler = spec.Scheduler{}
	said := t.process.Scheduler
	if said == nil {
		return nil
	}
	policy, ok := strings.CutPrefix(string(said.Policy), "SCHED_")
	if !ok {
		return invalid("policy %q is unknown", said.Policy)
	}
	if said.Runtime > math.MaxInt64 || said.Deadline > math.MaxInt64 || said.Period > math.MaxInt64 {
		return invalid("its times are too long")
	}
	t.s.Scheduler = spec.Scheduler{
		Policy: spec.SchedulerPolicy(policy), Nice: int(said.Nice), Priority: int(said.Priority),
		Runtime: spec.Duration(said.Runtime), Deadline: spec.Duration(said.Deadline), Period: spec.Duration(said.Period),
	}
	for _, flag := range said.Flags {
		t.s.Scheduler.Flags = append(t.s.Scheduler.Flags, strings.TrimPrefix(string(flag), "SCHED_FLAG_"))
	}
	return nil
}
