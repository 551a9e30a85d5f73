package keeper

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"runtime/debug"
)

// buildNote is the type and owner of the ELF note in which the Go linker keeps the build id; the length stands before it and the id
// after it. See "Note section" in elf(5). The note is among the first things in the file.
const (
	buildNote   = "\x04\x00\x00\x00Go\x00\x00"
	buildWindow = 64 << 10
)

// BuildID names the contents of a binary ("/proc/self/exe"): two binaries of one build id behave alike. A binary
// linked without a build id has its module version, "" if not even that is known.
func BuildID(exe string) string {
	if f, err := os.Open(exe); err == nil {
		defer f.Close()
		head, _ := io.ReadAll(io.LimitReader(f, buildWindow))
		if before, after, ok := bytes.Cut(head, []byte(buildNote)); ok && len(before) >= 4 {
			if n := binary.LittleEndian.Uint32(before[len(before)-4:]); n > 0 && uint64(n) <= uint64(len(after)) {
				return string(after[:n])
			}
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
