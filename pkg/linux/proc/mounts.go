package proc

import (
	"strconv"
	"strings"
)

// Mount is a line of /proc/PID/mountinfo, see proc_pid_mountinfo(5).
type Mount struct {
	Device      string   // of its file system: major:minor
	Root, Point string   // what of its file system it shows, and where
	Flags       []string // of the mount: ro, nosuid
	Type        string   // of file system
	Options     []string // of the superblock, not of the mount
	ID, Parent  int      // numbers, as fdinfo has them: mnt_id
}

// ParseMount reads a line. One that is torn is none.
func ParseMount(line string) (Mount, bool) {
	before, after, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
	head, tail := strings.Split(before, " "), strings.Split(after, " ") // a source can be empty
	if len(head) < 6 || len(tail) < 3 {
		return Mount{}, false
	}
	id, errID := strconv.Atoi(head[0])
	parent, errParent := strconv.Atoi(head[1])
	m := Mount{head[2], unescape(head[3]), unescape(head[4]), strings.Split(head[5], ","), tail[0], strings.Split(tail[2], ","), id, parent}
	return m, errID == nil && errParent == nil
}

// unescape undoes \040 for space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if s[0] == '\\' && len(s) >= 4 {
			if c, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				s = s[4:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
