package ocicmd

import (
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// making are the flags of create and run.
type making struct {
	bundle, consoleSocket, pidFile, pidfdSocket *string
	noPivot, noNewKeyring                       *bool
	preserveFDs                                 *int
}

func (f *flags) making() making {
	return making{
		bundle:        f.text("bundle,b", "DIR", ".", "directory with config.json (default the working directory)"),
		consoleSocket: f.text("console-socket", "PATH", "", "unix socket that gets the master of the terminal"),
		pidFile:       f.text("pid-file", "FILE", "", "file that gets the number of the first process"),
		pidfdSocket:   f.text("pidfd-socket", "PATH", "", "unix socket that gets a pidfd of the first process"),
		noPivot:       f.yes("no-pivot", "change the root without pivot_root(2)"),
		noNewKeyring:  f.yes("no-new-keyring", "leave the caller's session keyring"),
		preserveFDs:   f.number("preserve-fds", "hand on so many descriptors from 3 on"),
	}
}

// options gathers what a container gets from the caller.
func (c *command) options(m making) (oci.Options, error) {
	extra, env, err := oci.ExtraFiles(*m.preserveFDs, os.Getenv("LISTEN_FDS"), c.inherited)
	return oci.Options{
		Stdio:         [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		ConsoleSocket: *m.consoleSocket, PidFile: *m.pidFile, PidfdSocket: *m.pidfdSocket,
		NoPivot: *m.noPivot, NoNewKeyring: *m.noNewKeyring, ExtraFiles: extra, Env: env,
		NotifySocket: os.Getenv("NOTIFY_SOCKET"),
	}, err
}

func (c *command) create(f *flags, args []string) (int, error) {
	m := f.making()
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	o, err := c.options(m)
	if err != nil {
		return 1, err
	}
	return 0, c.Create(c.ctx, args[0], *m.bundle, o)
}

func (c *command) start(f *flags, args []string) (int, error) {
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	return 0, c.Start(c.ctx, args[0], os.Getenv("NOTIFY_SOCKET"))
}
