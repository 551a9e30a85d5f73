//go:generate go run gen.go
package seccomp

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Arch is a machine as filters see it.
type Arch struct {
	Name  string           // as runtime.GOARCH, and x32
	Word  spec.SeccompArch // as profiles have it
	Audit uint32           // AUDIT_ARCH_*, in seccomp_data.arch; x32 and amd64 share one
	// Narrow machines have arguments of 32 bits.
	Narrow bool
	// Calls are the system calls it has: numbers by name without sys_.
	Calls map[string]uint32

	mux map[string]muxed
}

// Arches are the machines there are tables for.
var Arches = []Arch{
	{Name: "amd64", Word: spec.SeccompX8664, Audit: unix.AUDIT_ARCH_X86_64, Calls: callsAMD64},
	{Name: "386", Word: spec.SeccompX86, Audit: unix.AUDIT_ARCH_I386, Narrow: true, Calls: calls386, mux: mux386},
	// The kernel reads 64 bits of some x32 arguments; libseccomp compares 32, and so do profiles written for it.
	{Name: "x32", Word: spec.SeccompX32, Audit: unix.AUDIT_ARCH_X86_64, Narrow: true, Calls: callsX32},
	{Name: "arm64", Word: spec.SeccompAARCH64, Audit: unix.AUDIT_ARCH_AARCH64, Calls: callsARM64},
	{Name: "arm", Word: spec.SeccompARM, Audit: unix.AUDIT_ARCH_ARM, Narrow: true, Calls: callsARM},
}

// x32Bit marks the numbers of x32.
const x32Bit = 0x40000000

// private is where arm's own calls begin (cacheflush, set_tls), far above its table; they say nothing about the age of a list.
const private = 0xf0000

// Native is the machine this runs on; without a table its zero value, which Compile refuses.
func Native() Arch {
	for _, a := range Arches {
		if a.Name == runtime.GOARCH {
			return a
		}
	}
	return Arch{}
}

// archOf is the machine with a word; false when there is no table.
func archOf(word spec.SeccompArch) (Arch, bool) {
	for _, a := range Arches {
		if a.Word == word {
			return a, true
		}
	}
	return Arch{}, false
}

// known tells whether any machine has a call of that name.
func known(call string) bool {
	for _, a := range Arches {
		if _, ok := a.Calls[call]; ok {
			return true
		}
		if _, ok := a.mux[call]; ok {
			return true
		}
	}
	return false
}
