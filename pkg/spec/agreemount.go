package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	yamltree "go.yaml.in/yaml/v3"
)

// agreeMounts checks each mount for itself and that no two have one destination.
func (c *checker) agreeMounts(spec *yamltree.Node) {
	mounts := at(spec, "mounts")
	if mounts == nil || mounts.Kind != yamltree.SequenceNode {
		return
	}
	exact := scalar(spec, "base") == string(BaseNone)
	notifies := scalar(spec, "probes", "startup", "notify") == "true" || scalar(spec, "probes", "readiness", "notify") == "true"
	lines := map[string]int{}
	for i, m := range mounts.Content {
		path := fmt.Sprintf("spec.mounts[%d]", i)
		c.agreeMount(path, m, exact)
		c.agreeIDMap(path, m, spec)
		destination := at(m, "destination")
		if destination == nil || destination.Kind != yamltree.ScalarNode {
			continue
		}
		if notifies && strings.HasPrefix(destination.Value+"/", NotifyDir+"/") {
			c.add(destination, path+".destination", fault{"is the place of the socket of probes with notify", "mount it elsewhere"})
		}
		line, doubled := lines[destination.Value]
		if doubled && !says(at(m, "options"), RemountFlag) {
			c.add(destination, path+".destination", fault{quote(destination.Value) + " already is the destination of another mount", fmt.Sprintf("it is in line %d", line)})
			continue
		}
		lines[destination.Value] = c.offset + destination.Line
	}
}

func (c *checker) agreeMount(path string, m *yamltree.Node, exact bool) {
	kind := scalar(m, "type")
	if !slices.Contains(MountTypes, kind) {
		return
	}
	destination := at(m, "destination")
	c.agreeSource(path, kind, m)
	if err := checkPlace(kind, scalar(m, "destination"), exact); err != nil && destination != nil {
		c.add(destination, path+".destination", err)
	}
	options := at(m, "options")
	if options == nil || options.Kind != yamltree.SequenceNode {
		return
	}
	said := map[string]string{}
	for i, o := range options.Content {
		if o.Kind == yamltree.ScalarNode && trap(o) == nil {
			if err := checkOption(kind, o.Value, exact, said); err != nil {
				c.add(o, fmt.Sprintf("%s.options[%d]", path, i), err)
			}
		}
	}
}

// agreeSource checks that a mount has a source if it needs one, and none if it has no use for it.
func (c *checker) agreeSource(path, kind string, m *yamltree.Node) {
	source := at(m, "source")
	switch {
	case says(at(m, "options"), RemountFlag):
	case kind == MountBind && source == nil:
		c.add(m, path+".source", fault{"is missing", "a bind mount shows a path of the node: say which"})
	case slices.Contains(DeviceTypes, kind) && source == nil:
		c.add(m, path+".source", fault{"is missing", "a file system of type " + kind + " is on a device of the node: say which"})
	case kind != MountBind && !slices.Contains(DeviceTypes, kind) && source != nil:
		c.add(source, path+".source", fault{"a mount of type " + kind + " has no source", "remove it"})
	}
}

// agreeIDMap checks that ids are mapped where there is a map, and that a map is whole and used.
func (c *checker) agreeIDMap(path string, m, spec *yamltree.Node) {
	options, uids, gids := at(m, "options"), at(m, "uidMappings"), at(m, "gidMappings")
	mapped := says(options, "idmap") || says(options, "ridmap")
	user := scalar(spec, "namespaces", "user", "mode")
	switch {
	case (uids == nil) != (gids == nil):
		n, key := uids, "gidMappings"
		if n == nil {
			n, key = gids, "uidMappings"
		}
		c.add(n, path+"."+key, fault{"is missing", "uidMappings and gidMappings come together"})
	case uids != nil && !mapped:
		c.add(uids, path+".uidMappings", fault{"is of no use without the option idmap or ridmap", "add one"})
	case mapped && uids == nil && (user == "" || user == string(UserHost)):
		c.add(options, path+".options", fault{"idmap needs a map", "say uidMappings and gidMappings, or give the container a user namespace with spec.namespaces.user"})
	}
}

// says tells whether a list of texts has one.
func says(list *yamltree.Node, text string) bool {
	return list != nil && list.Kind == yamltree.SequenceNode &&
		slices.ContainsFunc(list.Content, func(n *yamltree.Node) bool { return n.Kind == yamltree.ScalarNode && n.Value == text })
}

// cgroupDir is the one place below /sys where a mount may go.
const cgroupDir = "/sys/fs/cgroup"

// OverProc are the files of proc that may be mounted over, as lxcfs does. Anything else could stand in for a file that
// somebody trusts the kernel to have written. The two below sys are those that base None adds.
var OverProc = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/sys/crypto/fips_enabled", "/proc/sys/kernel/ns_last_pid",
}

// checkPlace checks where a mount of a type may go; exact is base None, which has no mounts of its own in these places.
func checkPlace(kind, destination string, exact bool) error {
	isIn := func(dir string) bool { return destination == dir || strings.HasPrefix(destination, dir+"/") }
	switch {
	case exact && destination == "/proc" && kind != MountProc && kind != MountBind:
		return fault{"only a mount of type proc or bind goes to /proc", "what reads /proc trusts the kernel to have written it"}
	case exact && isIn("/proc") && destination != "/proc" && !slices.Contains(OverProc, destination):
		return fault{"cannot mount over " + quoteBare(destination) + ": what reads /proc trusts the kernel to have written it", "below /proc only these can be mounted over: " + strings.Join(OverProc, ", ")}
	case exact:
	case isIn("/proc"):
		return fault{"cannot mount over " + quoteBare(destination) + ": what reads /proc trusts the kernel to have written it", "use spec.security.maskedPaths to hide a file"}
	case isIn("/sys") && destination != cgroupDir:
		return fault{"cannot mount over " + quoteBare(destination) + ": what reads /sys trusts the kernel to have written it", "use spec.security.maskedPaths to hide a file"}
	case destination == "/dev" && kind != MountTmpfs, destination == "/dev/pts" && kind != MountDevpts:
		return fault{"cannot mount a " + kind + " over " + destination, "what is there can have other options, not another type; base None leaves it to the manifest"}
	case destination == cgroupDir && kind != MountCgroup && kind != MountCgroup2:
		return fault{"cannot mount over " + cgroupDir, "only a mount of type cgroup goes there"}
	}
	return nil
}

// checkOption checks one option of a mount beside those said before, which it keeps by what they exclude.
func checkOption(kind, option string, exact bool, said map[string]string) error {
	if option == RemountFlag && !exact {
		return fault{"nothing is there to remount", "say the options where the mount is made; only base None takes remount"}
	}
	group, err := optionGroup(kind, option)
	if err != nil {
		return err
	}
	if before, ok := said[group]; ok {
		if before == option {
			return faultf("%s is said twice", option)
		}
		return faultf("%s and %s exclude each other", quoteBare(option), before)
	}
	said[group] = option
	return nil
}

// optionGroup names the group of options of which one can be said.
func optionGroup(kind, option string) (string, error) {
	groups := slices.Clone(MountFlags)
	if kind == MountBind {
		groups = append(groups, BindFlags...)
	} else {
		groups = append(groups, SuperFlags...)
	}
	for _, words := range groups {
		if slices.Contains(words, option) {
			return words[0], nil
		}
	}
	key, value, hasValue := strings.Cut(option, "=")
	switch {
	case option == RemountFlag:
		return option, nil
	case slices.Contains(MountOptions[kind], key):
		return key, checkValue(key, value, hasValue)
	case !HasOwnOptions(kind) && !strings.Contains(option, ","):
		return key, nil
	}
	return "", unknownOption(kind, key, option, groups)
}

// unknownOption says what an option that a type does not have may have meant.
func unknownOption(kind, key, option string, groups [][]string) error {
	if slices.Contains(MountOptions[MountTmpfs], key) && kind == MountBind {
		return fault{"a mount of type " + kind + " has no option " + key, "only a tmpfs takes it"}
	}
	f := fault{"unknown option " + quote(option) + " of a " + kind + " mount", didYouMean(key, slices.Concat(slices.Concat(groups...), MountOptions[kind]))}
	switch {
	case slices.Contains(slices.Concat(BindFlags...), option):
		f.hint = "only a bind mount takes it"
	case kind == MountBind && slices.Contains(slices.Concat(SuperFlags...), option):
		f.hint = "it belongs to the file system, which a bind mount only shows: say it where that is mounted"
	case strings.Contains(option, ","):
		f.hint = "write each option as an item of the list"
	}
	return f
}

// optionValue is the form of an option's value; the form of one without a value is nil.
type optionValue struct {
	form  func() *regexp.Regexp
	wants string
}

// form compiles an expression when it is first asked for.
func form(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

var (
	octalMode = optionValue{form(`^[0-7]{1,4}$`), "an octal mode such as 1777"}
	aNumber   = optionValue{form(`^[0-9]{1,10}$`), "a number such as 1000"}
	kernelK   = optionValue{form(`^[1-9][0-9]{0,17}[kKmMgG]?$`), "a number such as 10k"}
)

// optionValues are the forms of the words of MountOptions. Units are the kernel's: k, m and g are powers of 1024, with or
// without an i; a size may be a percentage of the node's memory.
var optionValues = map[string]optionValue{
	"size":        {form(`^([1-9][0-9]{0,17}([kKmMgG]i?)?|[1-9][0-9]{0,2}%)$`), "a size such as 64Mi or 50%"},
	"nr_blocks":   kernelK,
	"nr_inodes":   kernelK,
	"mode":        octalMode,
	"ptmxmode":    octalMode,
	"uid":         aNumber,
	"gid":         aNumber,
	"max":         aNumber,
	"huge":        {form(`^(never|always|within_size|advise)$`), "never, always, within_size or advise"},
	"mpol":        {form(`^(default|local|((prefer|bind|interleave)(=(static|relative))?(:[0-9,-]+)?))$`), "a memory policy such as interleave:0-3"},
	"hidepid":     {form(`^([0124]|off|noaccess|invisible|ptraceable)$`), "off, noaccess, invisible or ptraceable"},
	"subset":      {form(`^pid$`), "pid"},
	"noswap":      {},
	"inode32":     {},
	"inode64":     {},
	"tmpcopyup":   {},
	"newinstance": {},
}

// checkValue checks an option of a type that has it.
func checkValue(key, value string, hasValue bool) error {
	switch v := optionValues[key]; {
	case v.form == nil && hasValue:
		return fault{key + " takes no value", "write " + key}
	case v.form != nil && !v.form().MatchString(value):
		return faultf("%s=%s is not %s", key, quoteBare(value), v.wants)
	case key == "uid" || key == "gid":
		return checkUser(value)
	}
	return nil
}

// mountTypeHint says what to do about a type that no mount has.
func mountTypeHint(s string) string {
	if slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "fuse", "glusterfs"}, s) {
		return "mount it on the node, and bind it: a start must not wait for what serves it"
	}
	return ""
}
