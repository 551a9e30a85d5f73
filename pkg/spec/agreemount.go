package spec

import (
	"fmt"
	"slices"
	"strconv"
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
	if slices.Contains(TmpfsOptions, key) {
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

// checkTmpfs checks an option with a value, tmpfs(5).
func checkTmpfs(kind, key, value string) error {
	if kind != MountTmpfs {
		return fault{"a mount of type " + kind + " has no option " + key, "only a tmpfs takes it"}
	}
	switch key {
	case "mode":
		if n, err := strconv.ParseUint(value, 8, 32); err != nil || n > 0o7777 {
			return faultf("mode=%s is not an octal mode such as mode=1777", quoteBare(value))
		}
	case "uid", "gid":
		if n, err := strconv.ParseUint(value, 10, 32); err != nil || n > uidMax {
			return faultf("%s=%s is not a number from 0 to %d", key, quoteBare(value), uint64(uidMax))
		}
	default:
		n, err := parseSize(value)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault{key + "=0 means no limit to the kernel", "say a limit"}
		}
	}
	return nil
}
