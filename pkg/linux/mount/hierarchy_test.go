package mount

import (
	"slices"
	"testing"
)

func TestParseHierarchy(t *testing.T) {
	for line, want := range map[string]struct {
		hierarchy Hierarchy
		fstype    string
		ok        bool
	}{
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,xattr,cpu,cpuacct": {
			Hierarchy{Name: "cpu,cpuacct", Links: []string{"cpu", "cpuacct"}, Config: []Setting{{"cpu", ""}, {"cpuacct", ""}}, Source: "/sys/fs/cgroup/cpu,cpuacct"}, "cgroup", true,
		},
		"40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,release_agent=/lib/x,name=systemd": {
			Hierarchy{Name: "systemd", Config: []Setting{{"name", "systemd"}}, Source: "/sys/fs/cgroup/systemd"}, "cgroup", true,
		},
		"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate": {
			Hierarchy{Name: "unified", Config: []Setting{{"nsdelegate", ""}}, Links: []string{"nsdelegate"}, Source: "/sys/fs/cgroup/unified"}, "cgroup2", true,
		},
		`42 31 0:29 / /c\040x\134 rw - cgroup  rw,memory`: {
			Hierarchy{Name: `c x\`, Config: []Setting{{"memory", ""}}, Links: []string{"memory"}, Source: `/c x\`}, "cgroup", true,
		},
		"41 31 0:38 /other /mnt/part rw - cgroup cgroup rw,cpu": {fstype: "", ok: false},
		"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard": {},
		"torn":                   {},
		"1 2 3:4 / /x rw - ":     {},
		"1 2 3:4 / /x - cgroup ": {},
	} {
		h, fstype, ok := parseHierarchy(line)
		if ok != want.ok {
			t.Errorf("%s: %v", line, ok)
			continue
		}
		if ok && (h.Name != want.hierarchy.Name || h.Source != want.hierarchy.Source || fstype != want.fstype ||
			!slices.Equal(h.Links, want.hierarchy.Links) || !slices.Equal(h.Config, want.hierarchy.Config)) {
			t.Errorf("%s: %+v %s", line, h, fstype)
		}
	}
}
