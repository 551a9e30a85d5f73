package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// agreeMounts checks each mount for itself and that no two have one destination.
func (c *checker) agreeMounts(spec *yamltree.Node) {
	mounts := at(spec, "mounts")
	if mounts == nil || mounts.Kind != yamltree.SequenceNode {
		return
	}
	lines := map[string]int{}
	for i, m := range mounts.Content {
		path := fmt.Sprintf("spec.mounts[%d]", i)
		c.agreeMount(path, m)
		destination := at(m, "destination")
		if destination == nil || destination.Kind != yamltree.ScalarNode {
			continue
		}
		if line, doubled := lines[destination.Value]; doubled {
			c.add(destination, path+".destination", fault{quote(destination.Value) + " already is the destination of another mount", fmt.Sprintf("it is in line %d", line)})
			continue
		}
		lines[destination.Value] = c.offset + destination.Line
	}
}

func (c *checker) agreeMount(path string, m *yamltree.Node) {
	kind := scalar(m, "type")
	if !slices.Contains(MountTypes, kind) {
		return
	}
	source, destination := at(m, "source"), at(m, "destination")
	switch {
	case kind == MountBind && source == nil:
		c.add(m, path+".source", fault{"is missing", "a bind mount shows a path of the node: say which"})
	case kind != MountBind && source != nil:
		c.add(source, path+".source", fault{"a mount of type " + kind + " has no source", "remove it"})
	}
	if scalar(m, "destination") == cgroupDir && kind != MountCgroup {
		c.add(destination, path+".destination", fault{"cannot mount over " + cgroupDir, "only a mount of type cgroup goes there"})
	}
	options := at(m, "options")
	if options == nil || options.Kind != yamltree.SequenceNode {
		return
	}
	said := map[string]string{}
	for i, o := range options.Content {
		if o.Kind == yamltree.ScalarNode && trap(o) == nil {
			if err := checkOption(kind, o.Value, said); err != nil {
				c.add(o, fmt.Sprintf("%s.options[%d]", path, i), err)
			}
		}
	}
}

// cgroupDir is the one place below /sys where a mount may go.
const cgroupDir = "/sys/fs/cgroup"

// checkOption checks one option of a mount beside those said before, which it keeps by what they exclude.
func checkOption(kind, option string, said map[string]string) error {
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
	}
	for _, words := range groups {
		if slices.Contains(words, option) {
			return words[0], nil
		}
	}
	key, value, _ := strings.Cut(option, "=")
	if _, ok := tmpfsValues[key]; ok {
		return key, checkTmpfs(kind, key, value)
	}
	if kind == MountTmpfs {
		groups = append(groups, TmpfsOptions)
	}
	f := fault{"unknown option " + quote(option) + " of a " + kind + " mount", didYouMean(key, slices.Concat(groups...))}
	switch {
	case slices.Contains(slices.Concat(BindFlags...), option):
		f.hint = "only a bind mount takes it"
	case strings.Contains(option, ","):
		f.hint = "write each option as an item of the list"
	}
	return "", f
}

// tmpfsValues are the forms of the options of tmpfs(5). Units are the kernel's: k, m and g are powers of 1024, with or without an i.
var tmpfsValues = map[string]struct {
	form  *regexp.Regexp
	wants string
}{
	"size":      {regexp.MustCompile(`^[1-9][0-9]{0,17}([kKmMgG]i?)?$`), "a size such as 64Mi"},
	"nr_inodes": {regexp.MustCompile(`^[1-9][0-9]{0,17}[kKmMgG]?$`), "a number such as 10k"},
	"mode":      {regexp.MustCompile(`^[0-7]{1,4}$`), "an octal mode such as 1777"},
	"uid":       {regexp.MustCompile(`^[0-9]{1,10}$`), "a number such as 1000"},
	"gid":       {regexp.MustCompile(`^[0-9]{1,10}$`), "a number such as 1000"},
}

// checkTmpfs checks an option with a value.
func checkTmpfs(kind, key, value string) error {
	switch v := tmpfsValues[key]; {
	case kind != MountTmpfs:
		return fault{"a mount of type " + kind + " has no option " + key, "only a tmpfs takes it"}
	case !v.form.MatchString(value):
		return faultf("%s=%s is not %s", key, quoteBare(value), v.wants)
	case key == "uid" || key == "gid":
		return checkUser(value)
	}
	return nil
}
