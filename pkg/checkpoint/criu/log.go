package criu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What is read of a log, and kept of that. A restore that went wrong has written 22 GB in ten minutes.
const (
	maxLog   = 64 << 10
	maxLines = 8
	maxLine  = 512
)

// maxLogFile is how large a log becomes, about: it may be in memory.
const maxLogFile = 64 << 20

var errLoud = errors.New("it writes into its log without end")

// bounded is a context that ends with errLoud when a log becomes too large. End must be called.
func bounded(parent context.Context, dir *os.File, name string) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			var st unix.Stat_t
			if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Size > maxLogFile {
				cancel(errLoud)
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// errorLine is a line of level 1: `(00.012345)      1: Error (criu/files-reg.c:2175): File /etc/x has bad size 3 (expect 4)`. Time and process are
// only there at times.
var errorLine = regexp.MustCompile(`^(?:\([0-9.]+\))? *(?:[0-9]+: )?Error \([^)]*\): *(.*)$`)

// harmless are errors that say nothing, or only that there was another.
var harmless = regexp.MustCompile(`Can't setup RLIMIT_NOFILE for self|^(Dumping|Pre-dumping|Restoring) FAILED|One of more action scripts failed|RPC client reported script error|^Killing processes because of failure`)

// errorsOf reads the errors of a log, oldest first; nil when there is no log.
func errorsOf(dir *os.File, name string) []string {
	if dir == nil {
		return nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-maxLog), maxLog))
	if err != nil {
		return nil
	}
	return errorLines(data)
}

// errorLines finds the errors that say something. Of many, the first and the last ones are kept: the first is the cause more often.
func errorLines(log []byte) (found []string) {
	for line := range bytes.Lines(log) {
		m := errorLine.FindSubmatch(bytes.TrimRight(line, "\n"))
		if m == nil || harmless.Match(m[1]) {
			continue
		}
		text := strings.ToValidUTF8(string(m[1][:min(len(m[1]), maxLine)]), "?")
		found = append(found, strings.Map(printable, text))
	}
	if len(found) > maxLines {
		found = slices.Concat(found[:maxLines/2], found[len(found)-maxLines/2:])
	}
	return found
}

// printable keeps control characters, which a process's file names may have, out of terminals and logs.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}
