package cgroup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// oomFile says which file of a group counts kills, and where: memory.events on v2, which counts those in groups below as well, and
// memory.oom_control on v1, which does not.
func (p *Parent) oomFile() (r root, file string, v1, ok bool) {
	if h, ok := p.v1Of("memory"); ok {
		return h.root, "memory.oom_control", true, true
	}
	if p.lacking["memory"] != nil {
		return root{}, "", false, false
	}
	return p.unified, "memory.events", false, true
}

// OOMFile is the absolute path of the file whose line "oom_kill N" counts kills for want of memory:
// memory.events on v2, memory.oom_control on v1; "" without the memory controller.
func (g *Group) OOMFile() string {
	r, file, _, ok := g.parent.oomFile()
	if !ok {
		return ""
	}
	return r.path(g.path + "/" + file)
}

// OOMKills is how many processes the kernel has killed in the group for want of memory, 0 without the memory controller.
func (g *Group) OOMKills() (uint64, error) {
	r, file, _, ok := g.parent.oomFile()
	if !ok {
		return 0, nil
	}
	text, err := r.read(g.path + "/" + file)
	return keyed(text)["oom_kill"], err
}

// keyed reads a flat keyed file: lines of a word and a number (cgroup-v2.rst, Interface Files).
func keyed(text string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}

// addKills watches for kills, if the group has a memory controller. The caller holds mu.
func (w *Watcher) addKills(g *Group) error {
	r, file, v1, ok := g.parent.oomFile()
	switch {
	case !ok:
		return nil
	case v1:
		return w.addKillsV1(r, g, file)
	}
	return w.addFile(r, g, file, killNews(g))
}

// killNews tells how many kills there were since it was asked last, or made. The files change for other reasons as well: memory.events
// with every time memory.high or memory.max was met.
func killNews(g *Group) func() (spec.Event, bool) {
	last, _ := g.OOMKills()
	return func() (spec.Event, bool) {
		kills, err := g.OOMKills()
		if err != nil {
			return spec.Event{}, false
		}
		more := kills - min(last, kills)
		last = kills
		return spec.Event{Name: g.Name, Kind: spec.EventOOM, Count: more}, more > 0
	}
}

// addKillsV1 has the kernel raise an eventfd when memory runs out (cgroup-v1/memory.rst, OOM Control).
func (w *Watcher) addKillsV1(r root, g *Group, file string) error {
	if w.of(g, roleKills) != nil {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	s := &source{fd: fd, group: g, role: roleKills}
	if err = registerV1(r, g, file, fd); err == nil {
		_, err = w.listen(s, unix.EPOLLIN)
	}
	if err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("cannot watch %s of %s: %w", file, g, err)
	}
	w.looks[s] = &look{news: killNews(g)}
	s.ready = func(uint32) []spec.Event {
		_, _ = unix.Read(fd, make([]byte, 8))
		if !g.Exists() { // an eventfd is raised with the end of its group, too
			w.ignore(s)
			return nil
		}
		w.looks[s].begin(time.Now())
		return nil
	}
	return nil
}

// registerV1 ties an eventfd to a file of a v1 group. It stays tied until the eventfd is closed or the group removed.
func registerV1(r root, g *Group, file string, eventfd int) error {
	f, err := r.open(g.path+"/"+file, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.write(g.path+"/cgroup.event_control", fmt.Sprintf("%d %d", eventfd, f.Fd()))
}

// look asks for news again and again for a while: v1 gives notice when memory has run out, before it kills anybody, and gives none of a
// second kill while the first is not done (mm/memcontrol-v1.c, memcg1_oom_prepare).
type look struct {
	news func() (spec.Event, bool)
	at   time.Time // zero for never
	wait time.Duration
}

const (
	firstLookWait = time.Millisecond
	lastLookWait  = 512 * time.Millisecond
)

func (l *look) begin(now time.Time) { l.at, l.wait = now, firstLookWait }

// ask asks if it is time; what is new begins the looking anew.
func (l *look) ask(now time.Time) (spec.Event, bool) {
	if l.at.IsZero() || l.at.After(now) {
		return spec.Event{}, false
	}
	e, ok := l.news()
	if ok {
		l.wait = firstLookWait
	}
	if l.wait > lastLookWait {
		l.at = time.Time{}
		return e, ok
	}
	l.at = now.Add(l.wait)
	l.wait *= 2
	return e, ok
}

// untilLook is how many milliseconds epoll_wait may last until somebody is to be asked again, -1 for ever.
func (w *Watcher) untilLook() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := -1
	for _, l := range w.looks {
		if l.at.IsZero() {
			continue
		}
		wait := int(max(time.Until(l.at), 0)/time.Millisecond) + 1
		if next < 0 || wait < next {
			next = wait
		}
	}
	return next
}

// lookAgain asks those whose time has come. The caller holds mu.
func (w *Watcher) lookAgain() (hints []spec.Event) {
	now := time.Now()
	for _, l := range w.looks {
		if e, ok := l.ask(now); ok {
			hints = append(hints, e)
		}
	}
	return hints
}
