package ocicmd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// ownFailure is the exit code of an exec that failed by itself.
const ownFailure = 255

func (c *command) exec(f *flags, args []string) (int, error) {
	consoleSocket := f.text("console-socket", "PATH", "", "unix socket that gets the master of the terminal")
	pidfdSocket := f.text("pidfd-socket", "PATH", "", "unix socket that gets a pidfd of the process")
	pidFile := f.text("pid-file", "FILE", "", "file that gets the number of the process")
	file := f.text("process,p", "FILE", "", "JSON of the process, in the place of all flags that say what it is")
	detach := f.yes("detach,d", "leave the process running, and return")
	preserve := f.number("preserve-fds", "hand on so many descriptors from 3 on")
	cgroup := f.text("cgroup", "PATH", "", "cgroup below the container's")
	ignorePaused := f.yes("ignore-paused", "start it in a container that is paused, too")
	edit := f.process()
	least := 2
	if hasProcess(args) {
		least = 1
	}
	args, err := f.parse(args, least, -1)
	if errors.Is(err, errHelp) {
		return 0, err
	}
	if err != nil {
		return ownFailure, err
	}
	extra, _, err := oci.ExtraFiles(*preserve, "", c.inherited)
	if err != nil {
		return ownFailure, err
	}
	change := func(p *specs.Process) error { return edit(p, args[1:]) }
	if *file != "" {
		change = func(p *specs.Process) error {
			read, err := oci.ReadProcess(*file)
			if err == nil {
				*p = *read
			}
			return err
		}
	}
	var signals chan os.Signal
	if !*detach {
		signals = heed()
	}
	child, master, err := c.Exec(c.ctx, args[0], change, oci.ExecOptions{
		Stdio:         [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		ConsoleSocket: *consoleSocket, PidFile: *pidFile, PidfdSocket: *pidfdSocket,
		ExtraFiles: extra, Cgroup: *cgroup, IgnorePaused: *ignorePaused, Detach: *detach,
	})
	closeAll(extra)
	if err != nil {
		return ownFailure, fmt.Errorf("exec failed: %w", err)
	}
	if *detach {
		return 0, nil
	}
	code, err := attend(signals, child, master, func() (process.Exit, error) { return process.Reap(child.Pidfd) })
	if err != nil {
		return ownFailure, err
	}
	return code, nil
}

// hasProcess tells whether the process comes from a file.
func hasProcess(args []string) bool {
	for _, arg := range args {
		name := strings.TrimLeft(arg, "-")
		if name == arg {
			continue
		}
		if name, _, _ = strings.Cut(name, "="); name == "process" || name == "p" {
			return true
		}
	}
	return false
}

// process declares the flags that say what the process is. They change the container's own.
func (f *flags) process() func(p *specs.Process, argv []string) error {
	cwd := f.text("cwd", "DIR", "", "working directory")
	env := f.list("env,e", "NAME=VALUE", "a variable; can be said several times")
	tty := f.yes("tty,t", "give it a terminal")
	user := f.text("user,u", "UID[:GID]", "", "user, and group")
	groups := f.list("additional-gids,g", "GID", "an additional group; can be said several times")
	label := f.text("process-label", "LABEL", "", "SELinux label")
	apparmor := f.text("apparmor", "PROFILE", "", "AppArmor profile")
	noNewPrivs := f.yes("no-new-privs", "keep it from gaining privileges")
	caps := f.list("cap,c", "CAPABILITY", "a capability to add; can be said several times")
	return func(p *specs.Process, argv []string) error {
		p.Args, p.Terminal = argv, *tty
		p.Env = append(p.Env, *env...)
		setText(&p.Cwd, *cwd)
		setText(&p.SelinuxLabel, *label)
		setText(&p.ApparmorProfile, *apparmor)
		if f.said("no-new-privs") {
			p.NoNewPrivileges = *noNewPrivs
		}
		for _, g := range *groups {
			gid, err := strconv.ParseUint(g, 10, 32)
			if err != nil {
				return fmt.Errorf("parsing additional gid %q: %w", g, err)
			}
			p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(gid))
		}
		addCapabilities(p, *caps)
		return setUser(p, *user)
	}
}

func setText(p *string, said string) {
	if said != "" {
		*p = said
	}
}

// addCapabilities adds to every set but the inheritable one, where they would outlive a program; and then to the ambient set there are none.
func addCapabilities(p *specs.Process, caps []string) {
	if len(caps) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	for _, set := range []*[]string{&p.Capabilities.Bounding, &p.Capabilities.Effective, &p.Capabilities.Permitted} {
		*set = append(*set, caps...)
	}
}

// setUser reads UID[:GID]: digits and nothing else.
func setUser(p *specs.Process, said string) error {
	if said == "" {
		return nil
	}
	who, of, hasGroup := strings.Cut(said, ":")
	uid, err := strconv.ParseUint(who, 10, 32)
	if err != nil {
		return fmt.Errorf("parsing uid %q: %w", who, err)
	}
	p.User.UID = uint32(uid)
	if hasGroup {
		gid, err := strconv.ParseUint(of, 10, 32)
		if err != nil {
			return fmt.Errorf("parsing gid %q: %w", of, err)
		}
		p.User.GID = uint32(gid)
	}
	return nil
}
