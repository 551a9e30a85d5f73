// Command probe is what runs inside a generated container. It prints what it sees there as one JSON object of texts, and waits for the end of
// its input; it refuses to judge.
//
//	probe ORDERS    a JSON object of type orders.Orders
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/seed31d4122e/reconciler/test/generated/orders"
)

// report is what was seen: of what, what.
type report map[string]string

func main() {
	var o orders.Orders
	if err := json.Unmarshal([]byte(os.Args[1]), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	r := report{}
	for _, look := range []func(report, orders.Orders){status, process, descriptors, limits, names, namespaces, mounts, devices, paths, sysctls, calls} {
		look(r, o)
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
