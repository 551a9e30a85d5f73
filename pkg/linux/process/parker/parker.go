// Package parker is what a parked process runs: a static program of less than a kilobyte that maps the image of a
// process.Program at the address where its first half was run, in memory of its own now, and goes on with the second
// half. At a rebirth it has a child that goes on, tells that one's pid as its process name, and ends. It refuses to know anything else.
//
// Its arguments, see Arguments, are its name and where the image is; it overwrites them with zeros. Its process name is
// "init". It is not dumpable, so that nobody in the namespaces it has joined meanwhile can trace it or take the descriptors
// it holds. If the image cannot be mapped it exits with the errno.
package parker

import (
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/process/sealed"
)

//go:generate go run ../assemble_elf.go parker

// Name is its first argument and its process name.
const Name = "init"

// Open makes a file of the program that nobody can change any more, in memory. It is close-on-exec.
func Open() (*os.File, error) { return sealed.File(Name, image) }

// Arguments are its argument vector, for an image that descriptor fd holds size bytes of.
func Arguments(fd int, address, size uintptr) []string {
	return []string{Name, encode(uint64(fd)), encode(uint64(address)), encode(uint64(size))}
}

// encode writes a number with seven bits a character, the highest first, and the eighth bit set.
func encode(n uint64) string {
	b := make([]byte, 0, 10)
	for shift := 63; shift >= 0; shift -= 7 {
		b = append(b, 0x80|byte(n>>shift))
	}
	return string(b)
}
