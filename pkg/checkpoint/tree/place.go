package tree

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// place is an open directory of the tree that is being written.
type place struct {
	fd    int
	name  string // "" for the top
	entry *entry // what it becomes once all that is in it is there; nil when it only gets its times back
	times [2]unix.Timespec
}

// places are the directories from the top down to where the last entry went. Each gets its owner, mode, attributes and times when it
// is left: before, its default access control list would be inherited and its times would change again.
type places struct {
	open  []place
	leave func(place) error
}

// top is the deepest open directory.
func (p *places) top() *place { return &p.open[len(p.open)-1] }

// begin opens the tree's own directory.
func (p *places) begin(dir int) error {
	fd, err := openDirectory(dir, ".")
	if err != nil {
		return err
	}
	return p.push(fd, "", nil)
}

// push makes an open directory the deepest one; it is owned from here.
func (p *places) push(fd int, name string, e *entry) error {
	here := place{fd: fd, name: name, entry: e, times: [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}}
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err != nil {
		unix.Close(fd)
		return err
	}
	here.times[1] = st.Mtim
	p.open = append(p.open, here)
	return nil
}

// enter goes to a directory: out of those that are not above it, and down into those that are. Down, it asks may, with the name.
func (p *places) enter(parts []string, may func(name string) error) error {
	depth := 0
	for depth < len(parts) && depth+1 < len(p.open) && p.open[depth+1].name == parts[depth] {
		depth++
	}
	if err := p.back(depth + 1); err != nil {
		return err
	}
	for i := depth; i < len(parts); i++ {
		if err := may(strings.Join(parts[:i+1], "/")); err != nil {
			return err
		}
		fd, err := openDirectory(p.top().fd, parts[i])
		if err == nil {
			err = p.push(fd, parts[i], nil)
		}
		if err != nil {
			return fmt.Errorf("cannot enter its directory %q: %w", strings.Join(parts[:i+1], "/"), err)
		}
	}
	return nil
}

// back leaves directories until only count are open.
func (p *places) back(count int) error {
	var errs []error
	for len(p.open) > count {
		last := *p.top()
		p.open = p.open[:len(p.open)-1]
		errs = append(errs, p.leave(last))
		unix.Close(last.fd)
	}
	return errors.Join(errs...)
}

// close closes all without giving them what they were to have.
func (p *places) close() {
	for _, here := range p.open {
		unix.Close(here.fd)
	}
	p.open = nil
}
