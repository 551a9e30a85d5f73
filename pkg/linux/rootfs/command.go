package rootfs

import (
	"path"
	"strings"
)

// DefaultPath is the PATH a command is looked up in when its environment has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Candidates are the paths to try for a command by execve inside the container, in order: the command itself if it has
// a slash, else one in each absolute directory of pathEnv. Empty and relative directories, which execvp(3) takes from
// the working directory, are left out: that directory may belong to others.
func Candidates(command, pathEnv string) []string {
	if strings.Contains(command, "/") {
		return []string{command}
	}
	if pathEnv == "" {
		pathEnv = DefaultPath
	}
	var paths []string
	for dir := range strings.SplitSeq(pathEnv, ":") {
		if strings.HasPrefix(dir, "/") {
			paths = append(paths, path.Join(dir, command))
		}
	}
	return paths
}
