package image

import (
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
)

// Facts are what an image would make when it is restored, as criu's images in it say.
type Facts struct {
	Pages Pages
	// Arch is the kind of processor, as Go names it.
	Arch    string
	Tasks   []Task // process 1 first
	Mounts  []Mount
	Files   map[string]int // open files by what they are: file, pipe, socket, ...
	Filters [][]byte       // seccomp programs, as struct sock_filter has them
	// UIDs and GIDs are the maps of the user namespace; none without one.
	UIDs, GIDs []IDMap
	LSM        string // the security module of the node: "", AppArmor or SELinux

	// Own are the kinds of namespaces that it makes anew, in order: pid, mnt, ... The others are those of whoever restores.
	Own []string

	chains     []uint32 // of each filter the one before it, plus one
	shared     []bool   // and whether all threads get it with the first
	namespaces []ids
	sockets    []socket
	ttys       []uint32
	ghosts     []uint32 // modes
	sched      []string // who has a scheduling that not everybody may have
}

// Task is a process.
type Task struct {
	PID, Parent int
	Command     string
	State       uint32
	OOMScoreAdj int
	Pages       uint64 // of its own memory
	// Rlimits are the hard limits, by number.
	Rlimits []uint64
	Threads []Thread
}

// Thread is one thread of a process; its first has the number of the process.
type Thread struct {
	TID int
	// Sets of capabilities, by number of bit.
	Inheritable, Permitted, Effective, Bounding, Ambient uint64

	NoNewPrivs bool
	Seccomp    uint32 // 0, 1 or 2 as in prctl(2)
	Filter     uint32 // index in Filters of the last of its chain
	LSM        string // its label
}

// Mount is a mount of the container.
type Mount struct {
	Point string // absolute, in the container
	Type  string
	// Key says that the mount is made by whoever restores, under this name.
	Key   string
	Root  string // within the file system
	Flags uint32 // MS_RDONLY, MS_NOSUID, ...

	id, parent uint32
	problem    string
}

// IDMap is a line of a user namespace's map.
type IDMap struct {
	Inside  uint32 `pb:"1"`
	Outside uint32 `pb:"2"`
	Count   uint32 `pb:"3"`
}

type socket struct{ family, kind uint32 }

// scan reads criu's images. What contradicts itself, or is of a kind that nobody knows, is fs.ErrInvalid.
func scan(s source) (*Facts, error) {
	for _, name := range below(s, imagesName) {
		if _, err := kindOf(name); err != nil {
			return nil, err
		}
	}
	f := &Facts{Files: map[string]int{}}
	for _, read := range []func(source) error{f.inventory, f.tree, f.mounts, f.seccomp, f.userns, f.files, f.ghostFiles} {
		if err := read(s); err != nil {
			return nil, err
		}
	}
	f.Own = f.own()
	a, err := accountOf(s)
	if err != nil {
		return nil, err
	}
	f.Pages = a.pages
	for i := range f.Tasks {
		for _, r := range a.runs[fmt.Sprintf("pagemap-%d.img", f.Tasks[i].PID)] {
			f.Tasks[i].Pages += r.end - r.start
		}
	}
	return f, nil
}

// own are the kinds of namespaces in which process 1 is not in the same as criu was, which is the first of the list.
func (f *Facts) own() (kinds []string) {
	criu, first := reflect.ValueOf(f.namespaces[0]), reflect.ValueOf(f.namespaces[1])
	for i := range criu.NumField() {
		if !criu.Field(i).Equal(first.Field(i)) {
			kinds = append(kinds, criu.Type().Field(i).Tag.Get("ns"))
		}
	}
	return kinds
}

func inImages(name string) string { return path.Join(imagesName, name) }

func (f *Facts) inventory(s source) error {
	var i inventoryEntry
	if err := one(s, inImages("inventory.img"), &i); err != nil {
		return err
	}
	switch {
	case i.Version != 2 || !i.PerID:
		return fmt.Errorf("criu's images are of version %d, not 2: %w", i.Version, fs.ErrInvalid)
	case i.Plugins != nil && len(i.Plugins.Names) > 0:
		return fmt.Errorf("it needs the plugin %q of criu: %w", i.Plugins.Names[0], fs.ErrInvalid)
	case i.Uprobes:
		return fmt.Errorf("it has probes of the node: %w", fs.ErrInvalid)
	case i.Run != "" && !runID.MatchString(i.Run): // it becomes part of a command to nftables
		return fmt.Errorf("it is of a run of criu named %q: %w", i.Run, fs.ErrInvalid)
	}
	if i.LSM != 0 {
		f.LSM = word(lsms, i.LSM)
	}
	if i.Root == nil {
		return fmt.Errorf("it has no namespaces: %w", fs.ErrInvalid)
	}
	f.namespaces = append(f.namespaces, *i.Root)
	return nil
}

// tree reads the processes.
func (f *Facts) tree(s source) error {
	seen := map[uint32]bool{}
	err := each(s, inImages("pstree.img"), func(p *pstreeEntry) error {
		// Of a process that is dead criu does not say the threads: there is one number, which is any.
		isUnsaid := len(p.Threads) == 1 && p.Threads[0] != p.PID
		if isUnsaid {
			p.Threads = []uint32{p.PID}
		}
		if seen[p.PID] || p.PID == 0 || !slices.Contains(p.Threads, p.PID) && len(p.Threads) > 0 || len(seen) > 0 && !seen[p.Parent] {
			return errWire(fmt.Sprintf("process %d has no place in the tree", p.PID))
		}
		seen[p.PID] = true
		t := Task{PID: int(p.PID), Parent: int(p.Parent)}
		for i, tid := range p.Threads {
			if slices.Contains(p.Threads[:i], tid) || tid != p.PID && seen[tid] {
				return errWire(fmt.Sprintf("thread %d is there twice", tid))
			}
			if tid != p.PID {
				seen[tid] = true
			}
			if err := f.core(s, &t, tid); err != nil {
				return err
			}
		}
		if isUnsaid && !t.isDead() {
			return errWire(fmt.Sprintf("process %d has no thread of its number", p.PID))
		}
		f.Tasks = append(f.Tasks, t)
		return nil
	})
	if err == nil && (len(f.Tasks) == 0 || f.Tasks[0].isDead()) {
		err = errWire("there is no process 1")
	}
	return err
}

// core reads what a thread is.
func (f *Facts) core(s source, t *Task, tid uint32) error {
	name := inImages(fmt.Sprintf("core-%d.img", tid))
	if !has(s, name) {
		return fmt.Errorf("%s is missing: %w", name, fs.ErrInvalid)
	}
	var c coreEntry
	if err := one(s, name, &c); err != nil {
		return err
	}
	machine := word(arches, c.Machine)
	if f.Arch != "" && f.Arch != machine {
		return fmt.Errorf("%s is of another processor than the rest: %w", name, fs.ErrInvalid)
	}
	f.Arch = machine
	if int(tid) == t.PID {
		if err := f.process(s, t, &c); err != nil {
			return err
		}
	}
	if t.isDead() {
		return nil
	}
	if c.Thread == nil || c.Thread.Creds == nil {
		return fmt.Errorf("%s has no credentials: %w", name, fs.ErrInvalid)
	}
	t.Threads = append(t.Threads, c.Thread.thread(tid))
	if e := c.Thread; e.Nice < 0 || slices.Contains(realtime, e.Policy) {
		f.sched = append(f.sched, fmt.Sprintf("thread %d", tid))
	}
	return nil
}

// realtime are the scheduling policies that go before others: SCHED_FIFO, SCHED_RR and SCHED_DEADLINE.
var realtime = []uint32{1, 2, 6}

// isDead tells whether a process is a zombie: it has no memory and runs nothing.
func (t *Task) isDead() bool { return t.State == taskDead }

// States of a process in an image, see compel's task-state.h.
const (
	taskAlive   = 1
	taskDead    = 2
	taskStopped = 3
)

// process reads what a process has for all its threads.
func (f *Facts) process(s source, t *Task, c *coreEntry) error {
	if c.Task == nil {
		return fmt.Errorf("process %d has no state: %w", t.PID, fs.ErrInvalid)
	}
	t.Command, t.State, t.OOMScoreAdj = c.Task.Comm, c.Task.State, int(c.Task.OOM)
	if !slices.Contains([]uint32{taskAlive, taskDead, taskStopped}, t.State) {
		return fmt.Errorf("process %d is in the unknown state %d: %w", t.PID, t.State, fs.ErrInvalid)
	}
	if c.Task.Limits != nil {
		for _, l := range c.Task.Limits.List {
			t.Rlimits = append(t.Rlimits, l.Hard)
		}
	}
	if t.isDead() {
		return nil
	}
	spaces := c.IDs
	if name := inImages(fmt.Sprintf("ids-%d.img", t.PID)); has(s, name) {
		spaces = &ids{}
		if err := one(s, name, spaces); err != nil {
			return err
		}
	}
	if spaces == nil {
		return fmt.Errorf("process %d has no namespaces: %w", t.PID, fs.ErrInvalid)
	}
	f.namespaces = append(f.namespaces, *spaces)
	return nil
}

func (e *threadEntry) thread(tid uint32) Thread {
	c := e.Creds
	t := Thread{
		TID: int(tid), NoNewPrivs: c.NNP == 1, Seccomp: e.Seccomp, LSM: c.LSM,
		Inheritable: bits(c.Inh), Permitted: bits(c.Prm), Effective: bits(c.Eff), Bounding: bits(c.Bnd), Ambient: bits(c.Amb),
	}
	if e.Filter != nil {
		t.Filter = *e.Filter
	}
	return t
}

// bits joins the words of a set of capabilities. What is beyond 64 of them no kernel knows: it counts as all.
func bits(words []uint32) (set uint64) {
	for i, w := range words {
		switch {
		case i < 2:
			set |= uint64(w) << (32 * i)
		case w != 0:
			return ^uint64(0)
		}
	}
	return set
}
