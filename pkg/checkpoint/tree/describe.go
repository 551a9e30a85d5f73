package tree

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// handle is how a file is described: an open one by its descriptor, what cannot be opened by its name in a directory that nobody else has.
type handle struct {
	dir  int
	name string // "" for dir itself
}

func (h handle) flags() int {
	if h.name == "" {
		return unix.AT_EMPTY_PATH
	}
	return unix.AT_SYMLINK_NOFOLLOW
}

// describe gives what cannot be opened its owner, mode, attributes and times.
func (a *applier) describe(e *entry, dir int, base string) error {
	return a.give(e, handle{dir, base})
}

// finish gives a directory that is left what it is to have; one that is in no archive its former time of change.
func (a *applier) finish(p place) error {
	if p.entry == nil {
		return unix.UtimesNanoAt(p.fd, "", p.times[:], unix.AT_EMPTY_PATH)
	}
	if err := a.give(p.entry, handle{dir: p.fd}); err != nil {
		return fmt.Errorf("%q: %w", p.entry.name, blamed(err))
	}
	return nil
}

// give sets the owner first, which takes set-user-ID and capabilities away, then mode and attributes, and the times last.
func (a *applier) give(e *entry, h handle) error {
	uid, err := mapped(a.options.UID, e.uid)
	if err != nil {
		return err
	}
	gid, err := mapped(a.options.GID, e.gid)
	if err != nil {
		return err
	}
	if err := unix.Fchownat(h.dir, h.name, int(uid), int(gid), h.flags()); err != nil {
		return fmt.Errorf("cannot give it to %d:%d: %w", uid, gid, err)
	}
	if e.kind != kindSymlink {
		if err := h.chmod(e.mode); err != nil {
			return fmt.Errorf("cannot set its mode to %o: %w", e.mode, err)
		}
	}
	for _, x := range e.xattrs {
		if err := a.setXattr(e, h, x); err != nil {
			return fmt.Errorf("cannot set extended attribute %q: %w", x.name, err)
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: e.modified.sec, Nsec: e.modified.nsec}}
	if err := unix.UtimesNanoAt(h.dir, h.name, times, h.flags()); err != nil {
		return fmt.Errorf("cannot set its times: %w", err)
	}
	return nil
}

func (h handle) chmod(mode uint32) error {
	if h.name == "" {
		return unix.Fchmod(h.dir, mode)
	}
	return unix.Fchmodat(h.dir, h.name, mode, 0) // it is no link
}

// setXattr sets an attribute, if it is one that travels.
func (a *applier) setXattr(e *entry, h handle, x xattr) error {
	if !travels(x.name) || e.kind == kindSymlink {
		return refused("it is the kernel's own")
	}
	value, err := a.options.shift(x)
	if err != nil {
		return err
	}
	if h.name == "" {
		return unix.Fsetxattr(h.dir, x.name, value, 0)
	}
	fd, err := beneath(h.dir, h.name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setxattr(procFD(fd), x.name, value, 0)
}
