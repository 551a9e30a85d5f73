// Command reconciler makes this machine agree with a directory of manifests, and shows how far it got. It wires flags, files
// and terminals to the packages that do the work, and keeps its exit codes stable; it refuses to decide anything itself.
package main

import (
	"context"
	"os"

	"github.com/seed31d4122e/reconciler/cmd/reconciler/ocicmd"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

func main() {
	keeper.Hook() // a keeper lives long and stays small: it knows no verbs
	criu.Hook()   // what criu is tried with ends soon
	switch {
	case ocicmd.Is(os.Args[0]):
		os.Exit(ocicmd.Main(context.Background(), os.Args[1:], ociBuild))
	case len(os.Args) > 1 && os.Args[1] == "oci":
		os.Exit(ocicmd.Main(context.Background(), os.Args[2:], ociBuild))
	case len(os.Args) > 1 && os.Args[1] == "keeper":
		os.Exit(keeper.Main(os.Args[2:])) // the same by hand
	}
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// ociBuild is what the OCI command line shows of this binary.
func ociBuild() ocicmd.Build {
	b := buildInfo()
	return ocicmd.Build{Version: b.Version, Commit: b.Revision, Go: b.Go}
}
