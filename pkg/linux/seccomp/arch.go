//go:generate go run gen.go
package seccomp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Arch is a machine as filters see it.
type Arch struct {
	Name  string // as runtime.GOARCH
	Audit uint32 // AUDIT_ARCH_*, in seccomp_data.arch
	// Calls are the system calls it has: numbers by name without sys_.
	Calls map[string]uint32
}

// Arches are the machines there are tables for.
var Arches = []Arch{
	{"amd64", unix.AUDIT_ARCH_X86_64, callsAMD64},
	{"arm64", unix.AUDIT_ARCH_AARCH64, callsARM64},
}

// Native is the machine this runs on; without a table its zero value, which Compile refuses.
func Native() Arch {
	for _, a := range Arches {
		if a.Name == runtime.GOARCH {
			return a
		}
	}
	return Arch{}
}
