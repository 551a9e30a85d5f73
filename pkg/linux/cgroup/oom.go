package cgroup

import (
	"os"
	"strconv"
	"strings"
)

// OOMFile is the absolute path of the file whose line "oom_kill N" counts kills for want of memory:
// memory.events on v2, memory.oom_control on v1; "" without the memory controller.
func (g *Group) OOMFile() string {
	for _, b := range g.parent.limits {
		switch {
		case b.controller != "memory" || g.parent.lacking["memory"] != nil:
		case b.store == b.v2:
			return b.root.path(g.path + "/memory.events")
		default:
			return b.root.path(g.path + "/memory.oom_control")
		}
	}
	return ""
}

// OOMKills is the count in OOMFile, 0 without the memory controller.
func (g *Group) OOMKills() (uint64, error) {
	file := g.OOMFile()
	if file == "" {
		return 0, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return keyed(string(text))["oom_kill"], nil
}

// keyed reads a flat keyed file: lines of a word and a number (cgroup-v2.rst, Interface Files).
func keyed(text string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}
