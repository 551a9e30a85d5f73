package criu

import (
	"errors"
	"io/fs"
	"regexp"
	"syscall"
)

// cause is a known error of criu, in the words of who runs a container.
type cause struct {
	line  *regexp.Regexp // of the log
	words string         // with what the line's groups matched as $1
	hint  string
	is    error // what errors.Is finds, nil for nothing
}

// causes are the known ones. The first row that a line fits counts, and the first line that fits a row: later ones are what came of it.
var causes = []cause{
	// What a process has that cannot be saved.
	{re(`Unsupported proto 262 `), "a process has an MPTCP socket, which criu cannot save", `set the sysctl net.mptcp.enabled to "0" in the container; for a Go program GODEBUG=multipathtcp=0 does it as well`, nil},
	{re(`Unsupported proto (\d+) `), "a process has a socket of internet protocol $1, which criu cannot save", "", nil},
	{re(`Unsupported (?:type|socktype|socket type) (\d+)`), "a process has a socket of type $1, which criu cannot save", "", nil},
	{re(`Connected TCP socket`), "a process has an open TCP connection", "set checkpoint.tcp to Established or Close", nil},
	{re(`In-flight connection`), "a TCP connection is about to be accepted", "try again", nil},
	{re(`Can't lookup mount=\S+ for fd=(-?\d+) path=(\S*)`), "a process has the file $2 open (descriptor $1), which is outside of its container", "", nil},
	{re(`Can't dump ghost file (.*) of (\d+) size`), "the deleted file $1 is still open and too large to be part of an image ($2 bytes)", "end the process that has it open, or let it make the file on a mount of its own", nil},
	{re(`Some file locks are hold`), "a process holds a file lock", "", nil},
	{re(`External socket is used`), "a process is connected to a unix socket outside of its container", "", nil},
	{re(`Unix socket \S+ without peer`), "a process is connected to a unix socket outside of its container", "", nil},
	{re(`Unknown socket collected \(family 40\)`), "a process has a vsock socket, which criu cannot save", "", nil},
	{re(`Unknown socket collected \(family (\d+)\)`), "a process has a socket of address family $1, which criu cannot save", "", nil},
	{re(`Can't dump nested (\S+) namespace for (\d+)`), "process $2 has made a $1 namespace of its own, which criu cannot save", "", nil},
	{re(`Nested mount namespaces are not supported`), "a process has made a mount namespace of its own, which criu cannot save", "", nil},
	{re(`Can't dump file \S+ of that type \[\S+\] \((.*)\)`), "a process has $1 open, which criu cannot save", "", nil},
	{re(`(?:task|process) (\d+) .*(?:traced|ptrace)`), "process $1 is being traced by another", "", nil},
	{re(`The root process (\d+) is not a session leader`), "process $1 leads no session of its own", "", nil},
	{re(`send_fds failed \(-22\)`), "a process has an io_uring, which criu cannot save", "", nil},
	{re(`Can't dump task with .* (?:aio|AIO)`), "a process has asynchronous input or output under way", "try again", nil},

	// What is missing on this node.
	{re(`Can't get 1:16 opt`), "this criu is too old for this kernel: it cannot save sockets", "install criu 4.2 or newer", errors.ErrUnsupported},
	{re(`rt vDSO`), "this criu is too old for this kernel", "install criu 4.2 or newer", errors.ErrUnsupported},
	{re(`Tracking memory is not available`), "this kernel does not track which memory changes", "use a kernel with CONFIG_MEM_SOFT_DIRTY, or leave out checkpoint.preCopy", errors.ErrUnsupported},
	{re(`Lazy pages are not available`), "this kernel cannot fill memory as it is touched", "leave out checkpoint.lazy", errors.ErrUnsupported},
	{re(`built without (?:nftables|libnftables)`), "this criu has no nftables", "install a criu that has it, or iptables", errors.ErrUnsupported},
	{re(`(?:execvp|exec)\S* ?\(?"?(\S*(?:iptables|nft)\S*?)"?[),]? failed`), "$1 cannot be run", "install iptables", errors.ErrUnsupported},
	{re(`No space left on device`), "no space is left for the image", "free some, or give images a larger file system", syscall.ENOSPC},
	{re(`Disk quota exceeded`), "the quota is used up by the image", "", syscall.EDQUOT},

	// What does not fit at a restore.
	{re(`File (.*) has bad size (\d+) \(expect (\d+)\)`), "/$1 has $2 bytes, and had $3 when the image was taken", "", fs.ErrInvalid},
	{re(`File (.*) has bad mode (\d+) \(expect (\d+)\)`), "/$1 has mode $2, and had $3 when the image was taken", "", fs.ErrInvalid},
	{re(`File (.*) has bad build-ID`), "/$1 is another program than when the image was taken", "", fs.ErrInvalid},
	{re(`Can't open file (.*) on restore: No such file`), "/$1 is gone since the image was taken", "", fs.ErrInvalid},
	{re(`Can't open file (.*): No such file`), "/$1 is gone since the image was taken", "", fs.ErrInvalid},
	{re(`Can't fork for (\d+): File exists`), "process number $1 is taken", "end the process that has it", syscall.EEXIST},
	{re(`Can't bind inet socket.*: Cannot assign requested address`), "an address of the image is not there", "give the container the network it had, or set checkpoint.tcp to Close", syscall.EADDRNOTAVAIL},
	{re(`Can't bind inet socket.*: Address already in use`), "an address of the image is in use by another process", "", syscall.EADDRINUSE},
	{re(`(?i)cpu (?:instruction )?capabilities do not match|CPU xfeatures has unsupported|CPU xsave (?:max )?size mismatch|xsave area present, but host`), "the image was taken on a processor with features that this one lacks", "", errors.ErrUnsupported},
	{re(`No mapping for \d+:\S+ mountpoint`), "the image has a mount that the container is to have no more", "", fs.ErrInvalid},
	{re(`doesn't have a proper root mount`), "a mount of the container is neither in the image nor told", "", fs.ErrInvalid},
	{re(`(\d+) killed by signal 9`), "process $1 was killed while it was restored", "its memory may not fit the limit", nil},
}

func re(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

// causeOf finds the first line that has a known cause.
func causeOf(lines []string) (cause, string) {
	for _, line := range lines {
		for _, c := range causes {
			if c.line.MatchString(line) {
				return c, line
			}
		}
	}
	return cause{}, ""
}

// expand puts what matched into a template.
func (c cause) expand(template, line string) string {
	return string(c.line.ExpandString(nil, template, line, c.line.FindStringSubmatchIndex(line)))
}
