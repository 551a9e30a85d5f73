package image

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	mathbits "math/bits"
	"path"
	"slices"
	"sort"
	"strings"
)

// Policy is what the container's manifest allows a restored one to be. The zero value allows a container without capabilities and mounts.
type Policy struct {
	// Own are the kinds of namespaces that the container has to have for itself, beside mnt and pid: net, ipc, uts, ...
	Own []string
	// Mounts are all mounts below the root, each of which the image has to have, and no other.
	Mounts []Mount
	// Bounding is what each set of capabilities of each thread has to be within.
	Bounding uint64
	// NoNewPrivs and Seccomp demand them of every thread; Filter is the program that has to be among its filters, as struct sock_filter has it, nil for any.
	NoNewPrivs bool
	Seccomp    bool
	Filter     []byte
	// UIDs and GIDs are the maps of the container's user namespace, in any order; none: it has none.
	UIDs, GIDs []IDMap
	// LSM is the label that every thread has, "" for none.
	LSM string
	// OOMScoreAdj is the lowest that a process may have.
	OOMScoreAdj int
	// Rlimits are the highest hard limits, by number; those that are not named may be any.
	Rlimits map[int]uint64
	// Realtime allows scheduling before others.
	Realtime bool
	// Tasks bounds processes and threads together, 0: any number.
	Tasks int
}

// Capabilities that sockets of some kinds need, by number.
const (
	capNetRaw   = 13
	capSysAdmin = 21
)

// Check holds what an image would make to what is allowed. The first thing that is not is fs.ErrInvalid, in plain words.
func (f *Facts) Check(p Policy) error {
	for _, check := range []func(Policy) error{f.checkNamespaces, f.checkMounts, f.checkTasks, f.checkThreads, f.checkIDMaps, f.checkFiles} {
		if err := check(p); err != nil {
			return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
		}
	}
	return nil
}

// checkNamespaces: one of each kind for all, so that nothing is nested, and none of the node's where the container has its own.
func (f *Facts) checkNamespaces(p Policy) error {
	for _, n := range f.namespaces[1:] {
		if n != f.namespaces[1] {
			return errors.New("a process has namespaces of its own")
		}
	}
	for _, kind := range append([]string{"mnt", "pid"}, p.Own...) {
		if !slices.Contains(f.Own, kind) {
			return fmt.Errorf("its processes are in the %s namespace of the node", kind)
		}
	}
	if slices.Contains(f.Own, "user") != (len(p.UIDs)+len(p.GIDs) > 0) {
		return errors.New("it has a user namespace and the container none, or the other way round")
	}
	return nil
}

// strict are the flags of a mount that take something away: an image may not have less of them.
const strict = 1 | 2 | 4 | 8 // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC

// kernelTypes are the file systems that criu mounts itself.
var kernelTypes = []string{"proc", "sysfs", "devpts", "mqueue"}

// checkMounts: those of the manifest, all of them, each once and in its place.
func (f *Facts) checkMounts(p Policy) error {
	wanted := slices.Clone(p.Mounts)
	for _, m := range f.Mounts {
		if m.problem != "" {
			return fmt.Errorf("%s: %s", m.Point, m.problem)
		}
		if m.Point == "/" && m.Key == "" && f.isRoot(m) {
			continue
		}
		if m.Key == "" && !slices.Contains(kernelTypes, m.Type) {
			return fmt.Errorf("%s is a mount of the type %s of its own", m.Point, m.Type)
		}
		at := slices.IndexFunc(wanted, m.isA)
		if at < 0 {
			return fmt.Errorf("%s is a mount that the container does not have%s, or not so", m.Point, ofKernel(m.Point))
		}
		wanted = slices.Delete(wanted, at, at+1)
		if err := f.checkPlace(m); err != nil {
			return err
		}
	}
	if len(wanted) > 0 {
		return fmt.Errorf("%s is mounted in the container%s, and not in the image", wanted[0].Point, ofKernel(wanted[0].Point))
	}
	return nil
}

// ofKernel says of a mount why another node may have it and this one may not: what covers a file of the kernel is left out where there is none.
func ofKernel(point string) string {
	if strings.HasPrefix(point, "/proc/") || strings.HasPrefix(point, "/sys/") {
		return " here (kernels differ in which of maskedPaths and readonlyPaths there are: name those that both nodes have)"
	}
	return ""
}

// isRoot tells whether a mount is the container's root: whoever restores makes it, whatever the image says that it is.
func (f *Facts) isRoot(m Mount) bool {
	return !slices.ContainsFunc(f.Mounts, func(o Mount) bool { return o.id == m.parent || o.Point == "/" && o.id != m.id })
}

// isA tells whether a mount is the one that is wanted.
func (m Mount) isA(want Mount) bool {
	if m.Point != want.Point || m.Key != want.Key {
		return false
	}
	if m.Key != "" {
		return true
	}
	return m.Type == want.Type && cmp.Or(m.Root, "/") == cmp.Or(want.Root, "/") && want.Flags&strict&^m.Flags == 0
}

// checkPlace: a mount lies on the one above it, or on another of the same place, so that it covers what it is to cover.
func (f *Facts) checkPlace(m Mount) error {
	parent := slices.IndexFunc(f.Mounts, func(o Mount) bool { return o.id == m.parent && o.id != m.id })
	if parent >= 0 && path.Clean(m.Point) == m.Point {
		if at := f.Mounts[parent].Point; at == m.Point || at == f.nearest(m.Point) {
			return nil
		}
	}
	return fmt.Errorf("%s lies on another mount than its path says", m.Point)
}

// checkTasks: what processes have.
func (f *Facts) checkTasks(p Policy) error {
	n := 0
	for _, t := range f.Tasks {
		n += max(1, len(t.Threads))
		if t.isDead() {
			continue
		}
		if t.OOMScoreAdj < p.OOMScoreAdj {
			return fmt.Errorf("process %d has the oom_score_adj %d, below %d", t.PID, t.OOMScoreAdj, p.OOMScoreAdj)
		}
		for i, limit := range t.Rlimits {
			if most, ok := p.Rlimits[i]; ok && limit > most {
				return fmt.Errorf("process %d may raise its resource limit %d to %d, above %d", t.PID, i, limit, most)
			}
		}
	}
	if p.Tasks > 0 && n > p.Tasks {
		return fmt.Errorf("there are %d processes and threads, more than %d", n, p.Tasks)
	}
	if len(f.sched) > 0 && !p.Realtime {
		return fmt.Errorf("%s is scheduled before others", f.sched[0])
	}
	return nil
}

// checkThreads: what threads may do.
func (f *Facts) checkThreads(p Policy) error {
	if p.LSM != "" && f.LSM == "" { // of such an image criu heeds no label
		return fmt.Errorf("it is of a node without security labels, and the container has the security label %q", p.LSM)
	}
	for _, t := range f.threads() {
		if err := f.checkThread(t, p); err != nil {
			return fmt.Errorf("thread %d %w", t.TID, err)
		}
	}
	return nil
}

func (f *Facts) checkThread(t Thread, p Policy) error {
	if more := (t.Inheritable | t.Permitted | t.Effective | t.Bounding | t.Ambient) &^ p.Bounding; more != 0 {
		return fmt.Errorf("has capability %d, which the container has not", mathbits.TrailingZeros64(more))
	}
	if p.NoNewPrivs && !t.NoNewPrivs {
		return errors.New("could gain privileges (no_new_privs is not set)")
	}
	if t.LSM != p.LSM {
		return fmt.Errorf("has the security label %q, not %q", t.LSM, p.LSM)
	}
	if p.Seccomp || p.Filter != nil {
		return f.checkFilter(t, p)
	}
	return nil
}

// checkFilter: the container's filter is one of the thread's. Those it has besides can only forbid more.
func (f *Facts) checkFilter(t Thread, p Policy) error {
	if t.Seccomp != seccompFilter {
		return errors.New("has no seccomp filter")
	}
	programs, err := f.chain(t.Filter)
	if err != nil {
		return err
	}
	if p.Filter != nil && !slices.ContainsFunc(programs, func(b []byte) bool { return bytes.Equal(b, p.Filter) }) {
		return errors.New("has not the container's seccomp filter")
	}
	return nil
}

// checkIDMaps: the user namespace is the container's. Whom it does not have the kernel lets nobody be.
func (f *Facts) checkIDMaps(p Policy) error {
	if !sameMap(f.UIDs, p.UIDs) || !sameMap(f.GIDs, p.GIDs) {
		return errors.New("the map of its user namespace is not the container's")
	}
	return nil
}

func sameMap(a, b []IDMap) bool {
	sorted := func(m []IDMap) []IDMap {
		m = slices.Clone(m)
		sort.Slice(m, func(i, j int) bool { return m[i].Inside < m[j].Inside })
		return m
	}
	return slices.Equal(sorted(a), sorted(b))
}

// openable are the kinds of open files that anybody may have; others need a capability, and the rest nobody may have.
var (
	openable = []string{"file", "pipe", "fifo", "socket", "unix socket", "eventfd", "epoll", "inotify", "signalfd", "terminal", "netlink socket", "timerfd", "memfd", "pidfd"}
	withCap  = map[string]int{"packet socket": capNetRaw, "fanotify": capSysAdmin}
)

// checkFiles: criu opens files as root. None of them may be one that the container could not have opened.
func (f *Facts) checkFiles(p Policy) error {
	for kind := range f.Files {
		need, ok := withCap[kind]
		if !slices.Contains(openable, kind) && (!ok || p.Bounding>>need&1 == 0) {
			return fmt.Errorf("it has an open %s", kind)
		}
	}
	for _, s := range f.sockets {
		if s.kind != 1 && s.kind != 2 && p.Bounding>>capNetRaw&1 == 0 { // SOCK_STREAM, SOCK_DGRAM
			return fmt.Errorf("it has a socket of type %d, which needs a capability", s.kind)
		}
	}
	for _, t := range f.ttys {
		if t != 1 && t != 4 {
			return fmt.Errorf("it has an open %s", word(ttyNames, t))
		}
	}
	for _, mode := range f.ghosts {
		if kind := mode & 0o170000; kind == 0o020000 || kind == 0o060000 {
			return errors.New("it has a device file without a name")
		}
	}
	return nil
}
