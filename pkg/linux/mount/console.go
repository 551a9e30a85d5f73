package mount

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Console is the terminal of one start. Its devpts is made here, and its two ends are opened here, so that no path of an
// image has a say in what the container's terminal is.
type Console struct {
	// Master is the end that belongs to whoever talks to the container, Slave the container's own; both are close-on-exec
	// and do not become a controlling terminal.
	Master, Slave *os.File
	// Mount is the devpts, for FileConsole among the files of the start, which consumes it.
	Mount *os.File
}

// Close closes what is open. The devpts lives as long as the container has it mounted.
func (c *Console) Close() error {
	var errs []error
	for _, f := range []*os.File{c.Master, c.Slave, c.Mount} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// consoleMount is the plan's mount that the console's devpts takes the place of.
func (p Plan) consoleMount() (Mount, bool) {
	i := slices.IndexFunc(p.Mounts, Mount.isConsole)
	if i < 0 {
		return Mount{}, false
	}
	return p.Mounts[i], true
}

// ConsolePath is where the container sees its terminal in a file system that is its console's and nobody else's, "" if that is not certain.
func (p Plan) ConsolePath() string {
	m, ok := p.consoleMount()
	if !p.Terminal || !ok || p.Dev != DevMade || slices.ContainsFunc(p.Mounts, func(o Mount) bool { return !o.isConsole() && isBelowAny(o.Destination, m.Destination) }) {
		return ""
	}
	return m.Destination + "/0"
}

func (m Mount) isConsole() bool {
	return m.Destination == "/dev/pts" && m.Type == "devpts" && !m.Remount && m.Legacy == 0
}

// NewConsole makes the console of a plan with a Terminal: a devpts with the options of the plan's mount at /dev/pts, and
// its terminal number 0. See devpts.rst and ioctl_tty(2) for TIOCGPTPEER, which opens the other end without a path.
func NewConsole(plan Plan) (_ *Console, err error) {
	m, ok := plan.consoleMount()
	if !ok {
		m, _ = newKind("devpts", false)
		if err := m.shift(plan.IDs); err != nil {
			return nil, fmt.Errorf("cannot make console: %w", err)
		}
	}
	c := &Console{}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make console: %w", errors.Join(err, c.Close()))
		}
	}()
	c.Mount, err = newFS("devpts", slices.Concat([]Setting{{"source", "devpts"}}, m.Config, plan.context("devpts")), m.flags()&^readonly)
	if err != nil {
		return nil, err
	}
	dir := int(c.Mount.Fd())
	if err := disown(dir, plan.IDs, give["devpts"]...); err != nil {
		return nil, err
	}
	how := unix.OpenHow{Flags: unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS}
	master, err := unix.Openat2(dir, "ptmx", &how)
	if err != nil {
		return nil, fmt.Errorf("open ptmx: %w", err)
	}
	c.Master = os.NewFile(uintptr(master), "console")
	if n, err := unix.IoctlGetInt(master, unix.TIOCGPTN); err != nil || n != 0 {
		return nil, fmt.Errorf("the first terminal of a new devpts is number %d: %w", n, errors.Join(err, unix.EIO))
	}
	if c.Slave, err = peer(c.Master); err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	return c, disown(dir, plan.IDs, "0")
}

// disown gives files of a file system made here, by their bare names or "" for its root, to the container's superuser.
func disown(dir int, ids IDMap, names ...string) error {
	uid, gid, err := ids.root()
	if err != nil || ids.IsZero() {
		return err
	}
	for _, name := range names {
		group := int(gid)
		if name == "0" {
			group = -1 // a terminal keeps the group of the devpts
		}
		if err := unix.Fchownat(dir, name, int(uid), group, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("give %q to the container: %w", name, err)
		}
	}
	return nil
}
