package journal

import (
	"os"
	"strings"
)

// fieldCgroup is the sender's cgroup as journald sees it: of one in the root cgroup it says none, and of one that has ended before it looks.
const fieldCgroup = "_SYSTEMD_CGROUP"

// Senders tells entries of agents from those of containers that reach journald's socket as the agent's user. The zero value believes all.
type Senders struct {
	// Containers is the cgroup above all containers: nothing from there is the agent's.
	Containers string
	// Named tells that agents are in a cgroup that journald names: an entry without one came from who did not wait for it.
	Named bool
}

// SendersBeside are those that are not in the containers' cgroup; this process is one of them.
func SendersBeside(containers string) Senders {
	return Senders{Containers: "/" + strings.Trim(containers, "/"), Named: named("/proc/self/cgroup")}
}

// named tells whether a process is in a cgroup that is not the root, in systemd's hierarchy: see cgroups(7).
func named(file string) bool {
	text, _ := os.ReadFile(file) // without cgroups there is none
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if (controllers == "" || controllers == "name=systemd") && len(path) > 1 {
			return true
		}
	}
	return false
}

// believes tells whether an entry of a sender in a cgroup may be the agent's.
func (s Senders) believes(cgroup string) bool {
	switch {
	case s.Containers == "":
		return true
	case cgroup == "":
		return !s.Named
	}
	return !strings.HasPrefix(cgroup+"/", s.Containers+"/")
}
