// Package ocicmd is the command line of an OCI runtime, with the verbs, flags, messages and exit codes that engines know from runc. It turns
// words into calls of pkg/linux/oci; it refuses to know containers. A verb is a process of its own that engines wait for, so nothing here
// is made that a verb does not need: no command tree, no pools.
package ocicmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

// Is tells whether a program of this name is the OCI command line alone: an engine that is given a runtime's path cannot say a verb before its own.
func Is(argv0 string) bool {
	return !strings.HasPrefix(filepath.Base(argv0), "reconciler")
}

// Build says what this binary is.
type Build struct{ Version, Commit, Go string }

// Main runs one command line, without the program's name, and returns the exit code.
func Main(ctx context.Context, args []string, build func() Build) int {
	debug.SetGCPercent(-1) // most are gone before it would be worth it
	debug.SetMemoryLimit(32 << 20)
	inherited := oci.Inherited()
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // what is to be handed on is so by name
	c := &command{ctx: ctx, build: build, in: os.Stdin, out: os.Stdout, err: os.Stderr, inherited: inherited}
	code, err := c.run(args)
	if err != nil {
		c.fail(err)
		if code == 0 {
			code = 1
		}
	}
	return code
}

// command is one command line.
type command struct {
	ctx      context.Context
	build    func() Build
	in       *os.File
	out, err io.Writer
	// inherited are the descriptors that may be handed on.
	inherited map[int]bool

	globals
	*oci.Runtime
	log *logger
}

// globals are the flags before the verb.
type globals struct {
	root, logFile, logFormat string
	criu                     string // "" for the one on the PATH
	debug, systemd           bool
}

// verb is a row of the table of verbs.
type verb struct {
	name, args, short string
	// run declares its flags, parses the arguments with them, and does it. It returns the exit code of a success.
	run func(c *command, f *flags, args []string) (int, error)
}

// unknownVerb is the exit code for a verb that there is not, as engines may know it.
const unknownVerb = 3

// errHelp is a help that was asked for and given.
var errHelp = errors.New("help")

func (c *command) run(args []string) (int, error) {
	args, err := c.parseGlobals(args)
	if errors.Is(err, errHelp) {
		return 0, nil
	}
	if err != nil {
		return 1, err
	}
	if len(args) == 0 {
		c.help()
		return 0, nil
	}
	for _, v := range verbs() {
		if v.name == args[0] {
			f := newFlags(c, v)
			code, err := v.run(c, f, args[1:])
			if errors.Is(err, errHelp) {
				return 0, nil
			}
			return code, err
		}
	}
	hint := "--help lists them"
	if Is(os.Args[0]) {
		hint += fmt.Sprintf("; named %q this program is the OCI command line alone, all of it is there when its name begins with reconciler", filepath.Base(os.Args[0]))
	}
	return unknownVerb, fmt.Errorf("no such command: %q\nhint: %s", args[0], hint)
}

// parseGlobals reads the flags before the verb and opens the log.
func (c *command) parseGlobals(args []string) ([]string, error) {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.root, "root", oci.DefaultRoot, "")
	f.StringVar(&c.logFile, "log", "", "")
	f.StringVar(&c.logFormat, "log-format", "text", "")
	f.BoolVar(&c.debug, "debug", false, "")
	f.BoolVar(&c.systemd, "systemd-cgroup", false, "")
	f.StringVar(&c.criu, "criu", "", "")
	f.String("rootless", "", "")
	version := f.Bool("version", false, "")
	f.BoolVar(version, "v", false, "")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help()
		return nil, errHelp
	case err != nil:
		return nil, fmt.Errorf("%w\nhint: --help lists the flags", err)
	case *version:
		b := c.build()
		fmt.Fprintf(c.out, "reconciler version %s\ncommit: %s\nspec: %s\ngo: %s\n", b.Version, b.Commit, oci.Version, b.Go)
		return nil, errHelp
	}
	if c.log, err = newLogger(c.logFile, c.logFormat, c.debug); err != nil {
		return nil, err
	}
	if c.root, err = filepath.Abs(c.root); err != nil {
		return nil, err
	}
	c.Runtime = &oci.Runtime{Root: c.root, Systemd: c.systemd, Log: c.log.logr()}
	return f.Args(), nil
}

// fail tells of an error: in the log, and on the standard error, where engines look as well.
func (c *command) fail(err error) {
	if c.log == nil {
		c.log = &logger{out: os.Stderr, format: "text"}
	}
	c.log.write("error", err.Error())
	if c.log.file != nil {
		fmt.Fprintln(c.err, err)
	}
}
