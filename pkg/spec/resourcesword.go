package spec

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// checkDisk checks the path of a disk.
func checkDisk(s string) error {
	if strings.HasPrefix(s, "/") {
		return checkPath(s)
	}
	return nil
}

var hugePageSpelling = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([1-9][0-9]*)([kKmMgG])i?[bB]?$`) })

// hugePageHint gives 2Mi, 2M and 2mb the kernel's spelling.
func hugePageHint(s string) string {
	if m := hugePageSpelling().FindStringSubmatch(s); m != nil {
		return "did you mean " + m[1] + strings.ToUpper(m[2]) + "B?"
	}
	return ""
}

// CgroupFiles are the files of the cgroup core that resources.unified may write: the others move, freeze or kill processes, or hand
// controllers down, which is the agent's matter.
var CgroupFiles = []string{"cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"}

// checkCgroupFile refuses files that are no limits.
func checkCgroupFile(s string) error {
	switch controller, _, _ := strings.Cut(s, "."); {
	case controller == "devices":
		return fault{quote(s) + " is no limit", "say which devices the container may use in spec.deviceRules"}
	case controller == "cgroup" && !slices.Contains(CgroupFiles, s):
		return fault{quote(s) + " is not a limit but the agent's own", "of the files that begin with cgroup., it can be " + strings.Join(CgroupFiles, ", ")}
	}
	return nil
}
