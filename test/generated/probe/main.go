// Command probe is what runs inside a generated container. It prints what it sees there as one JSON object of texts, and waits for the end of
// its input; it refuses to judge.
//
//	probe ORDERS    a JSON object of type Orders
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// Orders say where to look beside the usual places.
type Orders struct {
	Paths   []string // files and directories: what they are, and whether they can be read and written to
	Sysctls []string // kernel parameters by name
	Calls   []Call   // system calls to make
	// Namespaces are whose they are, by what /proc/self/ns/* links to.
	Namespaces map[string]string
}

// Call is a system call that is harmless with these arguments.
type Call struct {
	Name string
	Nr   uintptr
	Args []uintptr
}

// report is what was seen: of what, what.
type report map[string]string

func main() {
	var orders Orders
	if err := json.Unmarshal([]byte(os.Args[1]), &orders); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	r := report{}
	for _, look := range []func(report, Orders){status, process, descriptors, limits, names, namespaces, mounts, devices, paths, sysctls, calls} {
		look(r, orders)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(2)
	}
	_ = os.Stdout.Close()
	_, _ = os.Stdin.Read(make([]byte, 1)) // others look from outside meanwhile
}

// set notes a text, or why there is none.
func (r report) set(key, value string, err error) {
	if err != nil {
		value = "error: " + reason(err)
	}
	r[key] = value
}
