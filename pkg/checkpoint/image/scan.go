package image

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// runID is how criu names a run.
var runID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// mounts reads the mounts of the one mount namespace.
func (f *Facts) mounts(s source) error {
	names := withPrefix(below(s, imagesName), "mountpoints-")
	if len(names) > 1 {
		return fmt.Errorf("it has more than one mount namespace: %w", fs.ErrInvalid)
	}
	for _, name := range names {
		err := each(s, inImages(name), func(m *mountEntry) error {
			if len(f.Mounts) == maxMounts {
				return errWire("there are too many mounts")
			}
			f.Mounts = append(f.Mounts, m.mount())
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxMounts and maxChain are what the kernel bounds these at: fs.mount-max, and MAX_INSNS_PER_PATH of filters of one instruction, see kernel/seccomp.c.
const (
	maxMounts = 100_000
	maxChain  = (1 << 15) / (1 + 4)
)

func (m *mountEntry) mount() Mount {
	at := Mount{Point: m.Point, Type: word(mountTypes, m.Type), Key: m.Key, Root: m.Root, Flags: m.Flags, id: m.ID, parent: m.Parent}
	switch {
	case m.Plugin:
		at.problem = "a plugin of criu is to mount it"
	case m.External:
		at.problem = "its place on the node is in the image"
	case m.Deleted:
		at.problem = "what is mounted there was deleted"
	}
	return at
}

// seccomp reads the filters of all threads.
func (f *Facts) seccomp(s source) error {
	name := inImages("seccomp.img")
	if has(s, name) {
		var e seccompEntry
		if err := one(s, name, &e); err != nil {
			return err
		}
		for _, filter := range e.Filters {
			f.Filters = append(f.Filters, filter.Program)
			prev := uint32(0)
			if filter.Prev != nil {
				if prev = *filter.Prev + 1; prev == 0 || int64(prev) > int64(len(e.Filters)) {
					return errWire(name + ": a filter follows one that is not there")
				}
			}
			f.chains = append(f.chains, prev)
			f.shared = append(f.shared, filter.Flags&filterShared != 0)
		}
	}
	for i := range f.Tasks {
		if err := f.share(&f.Tasks[i]); err != nil {
			return fmt.Errorf("%s: process %d: %w", name, f.Tasks[i].PID, err)
		}
	}
	for _, t := range f.threads() {
		if t.Seccomp != seccompFilter {
			continue
		}
		if _, err := f.chain(t.Filter); err != nil {
			return fmt.Errorf("%s: thread %d: %w", name, t.TID, err)
		}
	}
	return nil
}

const seccompFilter = 2 // SECCOMP_MODE_FILTER

// filterShared tells of a filter that the threads of a process get together with its first: SECCOMP_FILTER_FLAG_TSYNC. criu says no filters of the others then.
const filterShared = 1

// share gives the threads of a process the filters that its first shares with them.
func (f *Facts) share(t *Task) error {
	first := slices.IndexFunc(t.Threads, func(th Thread) bool { return th.TID == t.PID })
	if first < 0 || t.Threads[first].Seccomp != seccompFilter {
		return nil
	}
	last := t.Threads[first].Filter
	if _, err := f.chain(last); err != nil {
		return err
	}
	for at := last + 1; at != 0; at = f.chains[at-1] {
		if !f.shared[at-1] {
			return nil
		}
	}
	for i := range t.Threads {
		if th := &t.Threads[i]; th.Seccomp == 0 {
			th.Seccomp, th.Filter = seccompFilter, last
		}
	}
	return nil
}

// chain gives the filters of a thread that has one as the last.
func (f *Facts) chain(last uint32) (programs [][]byte, err error) {
	for at := last + 1; at != 0; at = f.chains[at-1] {
		if int64(at) > int64(len(f.Filters)) || len(programs) == min(len(f.Filters), maxChain) {
			return nil, errWire("its filters are not there")
		}
		programs = append(programs, f.Filters[at-1])
	}
	return programs, nil
}

// threads are those of all processes.
func (f *Facts) threads() (list []Thread) {
	for _, t := range f.Tasks {
		list = append(list, t.Threads...)
	}
	return list
}

// userns reads the maps of the one user namespace.
func (f *Facts) userns(s source) error {
	names := withPrefix(below(s, imagesName), "userns-")
	if len(names) > 1 {
		return fmt.Errorf("it has more than one user namespace: %w", fs.ErrInvalid)
	}
	for _, name := range names {
		var e usernsEntry
		if err := one(s, inImages(name), &e); err != nil {
			return err
		}
		f.UIDs, f.GIDs = e.UIDs, e.GIDs
	}
	return nil
}

// files reads what files are open.
func (f *Facts) files(s source) error {
	if name := inImages("files.img"); has(s, name) {
		err := each(s, name, func(e *fileEntry) error {
			f.Files[word(fileTypes, e.Type)]++
			if e.Inet != nil {
				f.sockets = append(f.sockets, socket{e.Inet.Family, e.Inet.Kind})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if name := inImages("tty-info.img"); has(s, name) {
		return each(s, name, func(e *ttyEntry) error {
			f.ttys = append(f.ttys, e.Type)
			return nil
		})
	}
	return nil
}

// ghostFiles reads what the files are that are open and have no name any more.
func (f *Facts) ghostFiles(s source) error {
	for _, name := range withPrefix(below(s, imagesName), "ghost-file-") {
		err := messages(s, inImages(name), func(data []byte) error {
			var e ghostEntry
			if err := unmarshal(data, &e); err != nil {
				return err
			}
			f.ghosts = append(f.ghosts, e.Mode)
			return nil
		}, true)
		if err != nil {
			return err
		}
	}
	return nil
}

// nearest is the longest mount point above another: where what is mounted there has to lie.
func (f *Facts) nearest(point string) (above string) {
	for _, m := range f.Mounts {
		if m.Point != point && isAbove(m.Point, point) && len(m.Point) > len(above) {
			above = m.Point
		}
	}
	return above
}

// isAbove tells whether a path is above another.
func isAbove(dir, p string) bool { return dir == "/" || strings.HasPrefix(p, dir+"/") }
