package keeper

import (
	"bytes"
	"io"
	"os"
	"runtime/debug"
)

// buildMark is what the Go linker puts before the build id at the start of the text, and buildWindow how far into the file that is.
const (
	buildMark   = "\xff Go build ID: \""
	buildWindow = 64 << 10
)

// BuildID names the contents of a binary ("/proc/self/exe"): two binaries of one build id behave alike. A binary
// linked without a build id has its module version, "" if not even that is known.
func BuildID(exe string) string {
	if f, err := os.Open(exe); err == nil {
		defer f.Close()
		head, _ := io.ReadAll(io.LimitReader(f, buildWindow))
		if _, rest, ok := bytes.Cut(head, []byte(buildMark)); ok {
			if id, _, ok := bytes.Cut(rest, []byte("\"\n")); ok {
				return string(id)
			}
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
