// Command reconciler makes this machine agree with a directory of manifests, and shows how far it got. It wires flags, files
// and terminals to the packages that do the work, and keeps its exit codes stable; it refuses to decide anything itself.
package main

import (
	"context"
	"os"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "keeper" {
		os.Exit(keeperMain(os.Args[2:])) // it lives long and stays small: no verbs, no flags of theirs
	}
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
