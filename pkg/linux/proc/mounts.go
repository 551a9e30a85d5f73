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
	var head [6]string
	var tail [3]string
	if !split(before, head[:]) || !split(after, tail[:]) { // a source can be empty
		return Mount{}, false
	}
	id, errID := strconv.Atoi(head[0])
	parent, errParent := strconv.Atoi(head[1])
	m := Mount{head[2], unescape(head[3]), unescape(head[4]), strings.Split(head[5], ","), tail[0], strings.Split(tail[2], ","), id, parent}
	return m, errID == nil && errParent == nil
}

// split takes the first words of a text, and tells whether there are so many.
func split(text string, words []string) bool {
	for i := range words {
		var more bool
		if words[i], text, more = strings.Cut(text, " "); !more && i < len(words)-1 {
			return false
		}
	}
	return true
}

// unescape undoes \040 for space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
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
