package ocicmd

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// verbs are all of them, in the order of the help.
func verbs() []verb {
	return []verb{
		{"create", "ID", "Make a container that waits for its start", (*command).create},
		{"start", "ID", "Start a created container", (*command).start},
		{"run", "ID", "Make a container, start it, wait for its end and remove it", (*command).runContainer},
		{"exec", "ID COMMAND [ARGUMENT...]", "Run a further process in a container", (*command).exec},
		{"kill", "ID [SIGNAL]", "Send a signal to a container's first process, or to all of them", (*command).kill},
		{"delete", "ID", "Remove a container that has stopped", (*command).delete},
		{"state", "ID", "Show the state of a container as JSON", (*command).state},
		{"list", "", "List the containers", (*command).list},
		{"ps", "ID [OPTION...]", "List the processes of a container", (*command).ps},
		{"pause", "ID", "Freeze a container", (*command).pause},
		{"resume", "ID", "Let a frozen container go on", (*command).resume},
		{"update", "ID", "Change the limits of a container", (*command).update},
		{"events", "ID", "Show what a container uses, and kills for want of memory", (*command).events},
		{"spec", "", "Write a configuration to start from", (*command).spec},
		{"features", "", "Show what this runtime can do as JSON", (*command).features},
		{"checkpoint", "ID", "Write a container's processes to files, and remove it", (*command).checkpoint},
		{"restore", "ID", "Make a container of such files", (*command).restore},
	}
}

// program is how this command line is called.
func (c *command) program() string {
	if len(os.Args) > 0 && Is(os.Args[0]) {
		return filepath.Base(os.Args[0])
	}
	return "reconciler oci"
}

func (c *command) help() {
	fmt.Fprintf(c.out, `%[1]s runs containers as the OCI runtime specification %[2]s describes them. Engines use it in the place of runc.

Usage
  %[1]s [global flags] VERB [flags] [ARGUMENT...]

Verbs
`, c.program(), oci.Version)
	for _, v := range verbs() {
		fmt.Fprintf(c.out, "  %-12s %s\n", v.name, v.short)
	}
	fmt.Fprintf(c.out, `
Global flags
  --root DIR              where the state of containers is kept (default %s)
  --log FILE              where messages go (default the standard error)
  --log-format FORMAT     text (default) or json
  --debug                 log the system calls of each start, and their results
  --systemd-cgroup        have systemd make the cgroups; cgroupsPath is SLICE:PREFIX:NAME then
  --criu PATH             the criu that checkpoint and restore use (default the one on the PATH)
  --rootless WORD         is taken, and changes nothing
  --version               show versions

Exit codes
  0  done; of run and exec: the command's own, or 128 and its signal
  1  error, usage included
  3  no such verb
  255  error of exec
`, oci.DefaultRoot)
}
