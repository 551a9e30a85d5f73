package linux_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/promise"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// facts are what a test has seen from inside, in the rows of a section.
type facts = [][]string

// promised is what this node promises: as the page has it, within what the keeper has to give.
func (n *node) promised(t *testing.T) promise.Promise {
	t.Helper()
	var node promise.Node
	var err error
	node.Capability, err = capability.ReadNode(n.keeper(t))
	must(t, err)
	node.Ceilings, err = attribute.ReadCeilings(n.keeper(t))
	must(t, err)
	return promise.Of(node, "/root")
}

// plain runs a script in a container that says nothing, but for a change, and returns the lines of what it says.
func (n *node) plain(t *testing.T, script string, change func(*spec.ContainerSpec)) []string {
	t.Helper()
	c := promise.Container(n.path("rootfs"), "/bin/sh", "-c", script)
	if change != nil {
		change(&c.Spec)
	}
	return strings.Split(strings.TrimSuffix(n.say(t, c), "\n"), "\n")
}

// compare holds what was seen to the facts of a section, row by row; only has rows the test could see.
func compare(t *testing.T, s promise.Section, seen facts) {
	t.Helper()
	line := func(row []string) string { return strings.Join(row[:s.Facts], " | ") }
	var want, got []string
	for _, row := range s.Rows {
		want = append(want, line(row))
	}
	for _, row := range seen {
		got = append(got, line(row))
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, row := range want {
		if !slices.Contains(got, row) {
			t.Errorf("promised, but not seen: %s", row)
		}
	}
	for _, row := range got {
		if !slices.Contains(want, row) {
			t.Errorf("seen, but not promised: %s", row)
		}
	}
}

// TestPromise reads docs/container.md again from inside containers that say nothing, table by table.
func TestPromise(t *testing.T) {
	n := open(t)
	p := n.promised(t)
	sections := map[string]func(*testing.T, *node, promise.Section) facts{
		promise.Identity: seeIdentity, promise.Namespaces: seeNamespaces, promise.Mounts: seeMounts, promise.Hidden: seeHidden,
		promise.Devices: seeDevices, promise.Links: seeLinks, promise.DeviceRules: seeDeviceRules, promise.Environment: seeEnvironment,
		promise.Capabilities: seeCapabilities, promise.Calls: seeCalls, promise.GrantedCalls: seeGrantedCalls,
		promise.JudgedCalls: seeJudgedCalls, promise.OtherCalls: seeOtherCalls, promise.Sysctls: seeSysctls, promise.Limits: seeLimits,
		promise.Inherited: seeInherited,
	}
	for _, s := range p.Sections() {
		see, ok := sections[s.Title]
		if !ok {
			t.Errorf("nobody looks at the section %s", s.Title)
			continue
		}
		t.Run(s.Title, func(t *testing.T) { compare(t, s, see(t, n, s)) })
	}
}

func seeIdentity(t *testing.T, n *node, _ promise.Section) facts {
	lines := n.plain(t, `echo $$; id -u; id -g; umask; pwd; hostname; readlink /proc/1/fd/0; stat -L -c %F /proc/1/fd/1 /proc/1/fd/2; cut -d : -f 3 /proc/self/cgroup | sort -u`, nil)
	var seen facts
	for i, what := range []string{"process", "user", "group", "umask", "working directory", "host name", "standard input", "standard output", "standard error", "control group"} {
		seen = append(seen, []string{what, lines[i]})
	}
	if len(lines) != len(seen) {
		t.Errorf("said %q", lines)
	}
	return seen
}

func seeNamespaces(t *testing.T, n *node, s promise.Section) (seen facts) {
	for _, line := range n.plain(t, `cd /proc/self/ns; for kind in *; do echo $kind $(readlink $kind); done`, nil) {
		kind, inode, _ := strings.Cut(line, " ")
		if strings.HasSuffix(kind, "_for_children") {
			continue
		}
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		must(t, err)
		whose := "its own"
		if ours == inode {
			whose = "the node's"
		}
		seen = append(seen, []string{kind, whose})
	}
	return seen
}

// mountLine is a line of proc_pid_mountinfo(5).
type mountLine struct {
	root, point, fstype string
	flags, options      []string
	optional            string
}

func (n *node) mountinfo(t *testing.T) (all []mountLine) {
	t.Helper()
	for _, line := range n.plain(t, "cat /proc/self/mountinfo", nil) {
		before, after, _ := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		all = append(all, mountLine{
			fields[3], fields[4], super[0], strings.Split(fields[5], ","), strings.Split(super[2], ","), strings.Join(fields[6:], " "),
		})
	}
	return all
}

// seeMounts shows each mount that is not one of a hidden path. Settings that the kernel adds to those that were asked for are left out.
func seeMounts(t *testing.T, n *node, s promise.Section) (seen facts) {
	asked := map[string]string{}
	for _, row := range s.Rows {
		asked[row[0]] = row[3]
	}
	blocks := n.plain(t, `stat -f -c '%b %S' /`, nil)[0]
	for _, m := range n.mountinfo(t) {
		if m.optional != "" {
			t.Errorf("%s is not private: %s", m.point, m.optional)
		}
		if slices.Contains(slices.Concat(spec.DefaultMaskedPaths, spec.DefaultReadonlyPaths), m.point) {
			continue
		}
		if m.root != "/" {
			m.fstype, m.options = "bind", nil
		}
		flags := slices.DeleteFunc(m.flags, func(f string) bool { return f == "rw" || f == "relatime" })
		if m.fstype == "tmpfs" && !slices.ContainsFunc(m.options, func(o string) bool { return strings.HasPrefix(o, "mode=") }) {
			m.options = append(m.options, "mode=1777") // which is the kernel's own, and not shown
		}
		if m.point == "/" {
			var count, size uint64
			_, err := fmt.Sscan(blocks, &count, &size)
			must(t, err)
			m.options = append(m.options, fmt.Sprintf("size=%dk", count*size>>10))
		}
		options := slices.DeleteFunc(m.options, func(o string) bool { return !slices.Contains(strings.Split(asked[m.point], ","), o) })
		slices.Sort(options)
		seen = append(seen, []string{m.point, m.fstype, strings.Join(flags, ","), strings.Join(options, ",")})
	}
	return seen
}

// seeHidden believes a path that the kernel does not have, and tries the others.
func seeHidden(t *testing.T, n *node, s promise.Section) (seen facts) {
	var script strings.Builder
	for _, row := range s.Rows {
		fmt.Fprintf(&script, "p=%s; ", row[0])
		script.WriteString(`if [ ! -e $p ]; then echo $p absent; elif [ -d $p ]; then echo $p $(ls -A $p | wc -l) $(grep -c " $p ro," /proc/self/mountinfo); else echo $p file $(grep -c " $p ro," /proc/self/mountinfo) $(stat -c %t:%T $p); fi; `)
	}
	for i, line := range n.plain(t, script.String(), nil) {
		row, fields := s.Rows[i], strings.Fields(line)
		is := "neither"
		switch {
		case len(fields) == 2:
			if _, err := os.Stat(row[0]); err == nil {
				t.Errorf("the node has %s, and the container has not", row[0])
			}
			is = row[1]
		case fields[1] == "0" && fields[2] == "1" || fields[len(fields)-1] == "1:3": // an empty directory, or the null device
			is = "masked"
		case fields[2] == "1":
			is = "read-only"
		}
		seen = append(seen, []string{row[0], is})
	}
	return seen
}

func seeDevices(t *testing.T, n *node, _ promise.Section) (seen facts) {
	for _, line := range n.plain(t, `find /dev -xdev -type c -o -xdev -type b -o -xdev -type p | while read f; do echo $f $(stat -c '%F|%t|%T|%a|%u:%g' $f); done`, nil) {
		path, rest, _ := strings.Cut(line, " ")
		f := strings.Split(rest, "|")
		kind := map[string]string{"character special file": "c", "block special file": "b", "fifo": "p"}[f[0]]
		seen = append(seen, []string{path, kind, fmt.Sprintf("%d:%d", hex(t, f[1]), hex(t, f[2])), f[3], f[4]})
	}
	return seen
}

func hex(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 16, 64)
	must(t, err)
	return n
}

func seeLinks(t *testing.T, n *node, _ promise.Section) (seen facts) {
	for _, line := range n.plain(t, `find /dev -xdev -type l | while read f; do echo $f $(readlink $f); done`, nil) {
		seen = append(seen, strings.Fields(line))
	}
	return seen
}

// seeDeviceRules tries each rule on a device that it and no later rule is about.
func seeDeviceRules(t *testing.T, n *node, s promise.Section) (seen facts) {
	script := `try() { rm -f /dev/x; mknod /dev/x $1 $2 $3 2>/dev/null && m=m || m=; r=; (exec 3< /dev/x) 2>&1 | grep -q 'not permitted' || r=r; (exec 3> /dev/x) 2>&1 | grep -q 'not permitted' || r=${r}w; echo $r$m; }
		mkfifo /dev/f; `
	for i, rule := range spec.DefaultDeviceRules {
		kind, major, minor := rule.Type, uint64(1), uint64(1) // /dev/mem, which no rule is about
		if !rule.Major.IsZero() {
			major, minor = rule.Major.Value(), 0
		}
		if !rule.Minor.IsZero() {
			minor = rule.Minor.Value()
		}
		if i == 0 || kind == "" {
			kind = spec.RuleChar
		}
		script += fmt.Sprintf("try %s %d %d; ", kind, major, minor)
	}
	lines := n.plain(t, script, func(s *spec.ContainerSpec) { s.Security.Capabilities.Add = []string{"MKNOD"} })
	for i, rule := range spec.DefaultDeviceRules {
		row := slices.Clone(promise.DeviceRule(rule))
		switch access := lines[i]; {
		case !rule.Allow && access == "m": // reading and writing are denied, and making nodes is a later rule's
		case rule.Allow && access == row[3]:
		default:
			row[3] = access
		}
		seen = append(seen, row)
	}
	return seen
}

func seeEnvironment(t *testing.T, n *node, _ promise.Section) (seen facts) {
	for _, line := range n.plain(t, `cat /proc/1/environ | tr '\0' '\n'`, nil) {
		name, value, _ := strings.Cut(line, "=")
		seen = append(seen, []string{name, value})
	}
	return seen
}

func seeCapabilities(t *testing.T, n *node, _ promise.Section) (seen facts) {
	sets := func(user string) (s capability.Sets) {
		lines := n.plain(t, `grep ^Cap /proc/self/status`, func(c *spec.ContainerSpec) { c.User = user })
		for i, set := range []*capability.Set{&s.Inheritable, &s.Permitted, &s.Effective, &s.Bounding, &s.Ambient} {
			*set = capability.Set(hex(t, strings.Fields(lines[i])[1]))
		}
		return s
	}
	root, user := sets("0"), sets("1000")
	for number, name := range spec.CapabilityNames {
		if a, b := promise.Sets(root, number), promise.Sets(user, number); a+b != "" {
			seen = append(seen, []string{name, a, b})
		}
	}
	return seen
}

// seeSysctls sets each parameter to what the node has it at, where the node has it.
func seeSysctls(t *testing.T, n *node, s promise.Section) (seen facts) {
	values := map[string]string{"net.ipv4.ip_forward": "1", "fs.mqueue.msg_max": "12"}
	for _, name := range spec.SysctlNames {
		text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if value := strings.Join(strings.Fields(string(text)), " "); err == nil && !strings.HasSuffix(name, "_next_id") { // -1, which cannot be written
			values[name] = value
		} else if err == nil {
			values[name] = "7"
		}
	}
	names := slices.Sorted(maps.Keys(values))
	var script strings.Builder
	for _, name := range names {
		fmt.Fprintf(&script, "echo $(cat /proc/sys/%s); ", strings.ReplaceAll(name, ".", "/"))
	}
	for i, got := range n.plain(t, script.String(), func(s *spec.ContainerSpec) { s.Sysctls = values }) {
		if got != values[names[i]] {
			t.Errorf("%s is %s, not %s", names[i], got, values[names[i]])
		}
	}
	for _, row := range s.Rows {
		prefix, ok := strings.CutSuffix(row[0], "*")
		_, said := values[row[0]]
		_, err := os.Stat("/proc/sys/" + strings.ReplaceAll(row[0], ".", "/"))
		if said || err != nil || ok && slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, prefix) }) {
			seen = append(seen, row)
		}
	}
	return seen
}

// seeLimits knows the lines of /proc/PID/limits.
func seeLimits(t *testing.T, n *node, _ promise.Section) (seen facts) {
	names := map[string]string{
		"Max cpu time": "cpu", "Max file size": "fsize", "Max data size": "data", "Max stack size": "stack", "Max core file size": "core",
		"Max resident set": "rss", "Max processes": "nproc", "Max open files": "nofile", "Max locked memory": "memlock", "Max address space": "as",
		"Max file locks": "locks", "Max pending signals": "sigpending", "Max msgqueue size": "msgqueue", "Max nice priority": "nice",
		"Max realtime priority": "rtprio", "Max realtime timeout": "rttime",
	}
	for _, line := range n.plain(t, "tail -n +2 /proc/self/limits", nil) {
		f := strings.Fields(line[26:])
		seen = append(seen, []string{names[strings.TrimSpace(line[:26])], f[0], f[1]})
	}
	return seen
}
