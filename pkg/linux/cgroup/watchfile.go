package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// watch is a file of a group whose changes inotify tells.
type watch struct {
	group *Group
	news  func() (spec.Event, bool)
}

// addFile watches a file; news tells what a change of it means, if anything. The caller holds mu.
func (w *Watcher) addFile(r root, g *Group, file string, news func() (spec.Event, bool)) error {
	f, err := r.open(g.path+"/"+file, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	// By descriptor: inotify knows only paths, and this one means the file just opened (proc_pid_fd(5)).
	wd, err := unix.InotifyAddWatch(w.inotify, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.IN_MODIFY)
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w\nhint: raise fs.inotify.max_user_watches", f.Name(), err)
	}
	if w.watches[int32(wd)] == nil {
		w.watches[int32(wd)] = &watch{g, news}
	}
	return nil
}

// notices reads what inotify has queued. It says when its queue overflowed (inotify(7), IN_Q_OVERFLOW).
func (w *Watcher) notices(uint32) (hints []spec.Event) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := unix.Read(w.inotify, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 { // EAGAIN: that was all
			return hints
		}
		for notice := buffer[:n]; len(notice) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(notice))
			mask := binary.NativeEndian.Uint32(notice[4:])
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(notice[12:]))
			notice = notice[min(size, len(notice)):]
			if e, ok := w.notice(wd, mask); ok {
				hints = append(hints, e)
			}
		}
	}
}

// notice tells what a notice means, if anything.
func (w *Watcher) notice(wd int32, mask uint32) (spec.Event, bool) {
	watch := w.watches[wd]
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		return spec.Event{Kind: spec.EventLost}, true
	case watch == nil: // removed since
		return spec.Event{}, false
	case mask&unix.IN_IGNORED != 0:
		delete(w.watches, wd)
		return spec.Event{}, false
	}
	return watch.news()
}

// stateNews tells what a change of cgroup.events is: one of frozen alone is EventFreeze, any other EventExit.
func stateNews(g *Group) func() (spec.Event, bool) {
	last, _ := g.State()
	return func() (spec.Event, bool) {
		state, err := g.State()
		before := last
		last = state
		if err == nil && state.Frozen != before.Frozen && state.Populated == before.Populated {
			return spec.Event{Name: g.Name, Kind: spec.EventFreeze}, true
		}
		return spec.Event{Name: g.Name, Kind: spec.EventExit}, true
	}
}
