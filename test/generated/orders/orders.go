// Package orders is what the test tells the program inside a container.
package orders

// Orders say where to look beside the usual places.
type Orders struct {
	// Paths are files and directories: what they are, and whether they can be read and written to.
	Paths []string
	// Sysctls are kernel parameters by name.
	Sysctls []string
	// Calls are system calls to make.
	Calls []Call
	// Namespaces are whose they are, by what /proc/self/ns/* links to.
	Namespaces map[string]string
}

// Call is a system call that is harmless with these arguments.
type Call struct {
	Name string
	Nr   uintptr
	Args []uintptr
}
