package criu

import "strconv"

// Command is the command line of a criu that serves the far end of a Pair, which it has as descriptor fd. Files that others can put on the
// node (/etc/criu/default.conf) change nothing, and neither do those of a user, with Environ as its environment.
func (t Tool) Command(fd int) []string {
	return []string{t.Path, "--no-default-config", "swrk", strconv.Itoa(fd)}
}

// LazyCommand is the command line of the process that feeds a restored container its memory, page by page as it is touched, from the image
// directory that it has as descriptor images. It listens on a socket in the directory that it has as work, which must be the work directory of
// the Restore, writes one zero byte to the descriptor status once it does, and ends when all is there.
func (t Tool) LazyCommand(images, work, status int) []string {
	return []string{
		t.Path, "--no-default-config", "lazy-pages", "-v2", "--log-file", LazyLog,
		"--images-dir", "/proc/self/fd/" + strconv.Itoa(images),
		"--work-dir", "/proc/self/fd/" + strconv.Itoa(work),
		"--status-fd", strconv.Itoa(status),
	}
}

// Environ is the environment of criu: it runs tar, ip and iptables by name, reads CRIU_CONFIG_FILE and the configuration below HOME, and has
// faults that variables inject.
func Environ() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}
