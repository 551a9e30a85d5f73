package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A feeder is a process that gives a restored instance its memory while that runs: page by page as it is touched, the rest meanwhile, by userfaultfd(2). It
// outlives client and keeper, and ends with the instance or when all is there. Memory that it still owed when it ended any other way would be empty for who
// touches it: then the instance is killed, and until it is dead nobody sees that, because the keeper holds the feeder's descriptors as well.
//
//	FeedFile --start--> feeding --code 0--> none
//	                       | any other end, or nobody saw it: the instance is killed
//	                       | the instance ends: the feeder is killed

// FeedPrefix begins the name of a feeder's cgroup, which is beside the instance's.
const FeedPrefix = "feed-"

// feedRecord is FeedFile.
type feedRecord struct {
	Cgroup string `json:"cgroup"`
	BootID string `json:"bootID"`
}

// believe refuses a cgroup that is none of a feeder of the instance.
func (r feedRecord) believe(key Key) error {
	if !strings.HasPrefix(filepath.Base(r.Cgroup), FeedPrefix) {
		return disbelief("cgroup %q is of no feeder", r.Cgroup)
	}
	return execHeader{Cgroup: r.Cgroup}.check(key)
}

// feeder is one, as the keeper has it. The instance's mu guards it.
type feeder struct {
	*execution
	held  map[int]*os.File // its userfaultfds, by their numbers in it
	timer *time.Timer
}

// startFeed starts the feeder of an instance that is being restored. The caller holds mu.
func (in *instance) startFeed(req request, body []byte, files []*os.File) (pid int, err error) {
	r := feedRecord{Cgroup: req.Exec.Cgroup, BootID: in.k.boot}
	if err := r.believe(in.key); err != nil {
		return 0, err
	}
	if in.feed != nil {
		return 0, fmt.Errorf("%s/%d has a feeder: %w", in.key.Name, in.key.Instance, fs.ErrExist)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clearExec(r.Cgroup), remove(in.dir, FeedFile))
		}
	}()
	program, named, err := decodeProgram(body, req.Exec.Files, files)
	if err != nil {
		return 0, err
	}
	if err := writeRecord(in.dir, FeedFile, r); err != nil {
		return 0, err
	}
	p, err := process.Start(program, named)
	if err != nil {
		return 0, err
	}
	if err := in.feedBy(r, p.Pid, p.Pidfd); err != nil {
		return 0, err
	}
	return p.Pid, nil
}

// holdFeed holds what the feeder has. The caller holds mu.
func (in *instance) holdFeed() error {
	if in.feed == nil {
		return fmt.Errorf("%s/%d has no feeder: %w", in.key.Name, in.key.Instance, fs.ErrNotExist)
	}
	select {
	case <-in.feed.done:
		if in.feed.exit != (process.Exit{}) {
			return fmt.Errorf("what gives %s/%d memory has ended: %w", in.key.Name, in.key.Instance, unix.ESRCH)
		}
	default:
		in.feed.hold()
	}
	return nil
}

// feedBy watches a feeder. The caller holds mu.
func (in *instance) feedBy(r feedRecord, pid int, pidfd *os.File) error {
	f := &feeder{execution: newExecution(in.k, in.key, r.Cgroup, pid, pidfd), held: map[int]*os.File{}}
	f.started, _ = process.StartTime(pid)
	f.then = func() { in.k.after(0, func() { in.fed(f) }) }
	if err := f.watch(); err != nil {
		return errors.Join(err, f.discard())
	}
	in.feed = f
	f.timer = in.k.after(holdPause, func() { in.holdOn(f) })
	return nil
}

// fed is what to do when a feeder has ended.
func (in *instance) fed(f *feeder) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.feed != f {
		return
	}
	if f.exit == (process.Exit{}) {
		in.endFeed()
		in.k.subscribers.publish(Event{Key: in.key, Kind: spec.EventExit})
		return
	}
	in.k.cfg.Log.Info("memory is lost: what it came from has ended", "name", in.key.Name, "instance", in.key.Instance,
		"code", f.exit.Code, "signal", unix.SignalName(f.exit.Signal))
	in.loseMemory()
}

// loseMemory kills an instance whose memory will never be whole. What is held of its feeder goes when it is dead. The caller holds mu.
func (in *instance) loseMemory() {
	err := in.hold()
	if err == nil && in.running() && in.stop.Reason != spec.ExitMemoryLost {
		err = in.kill(stopRecord{Stopping: spec.Stopping{Signal: "SIGKILL", Deadline: time.Now(), Reason: spec.ExitMemoryLost}, Boottime: boottime()})
	}
	if err == nil && in.feed == nil {
		err = remove(in.dir, FeedFile)
	}
	if err != nil {
		in.k.cfg.Log.Error(err, "cannot kill what lost its memory", "name", in.key.Name, "instance", in.key.Instance)
		in.k.after(retryPause, func() {
			in.mu.Lock()
			defer in.mu.Unlock()
			in.loseMemory()
		})
	}
}

// endFeed ends the feeder, if there is one, and lets go of all that is its. The caller holds mu.
func (in *instance) endFeed() {
	f := in.feed
	if f == nil {
		return
	}
	in.feed = nil
	f.timer.Stop()
	err := errors.Join(f.kill(), clearExec(f.cgroup), remove(in.dir, FeedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.k.cfg.Log.Error(err, "cannot end what gave memory", "name", in.key.Name, "instance", in.key.Instance)
	}
	f.letGo()
}

// adoptFeed takes over the feeder of an instance that an earlier keeper started. If there is none any more nobody knows how it ended. The caller holds mu.
func (in *instance) adoptFeed(ended bool) {
	var r feedRecord
	err := readRecord(in.dir, FeedFile, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = r.believe(in.key)
	}
	isBelieved := err == nil
	if err == nil && (ended || r.BootID != in.k.boot) {
		err = errors.Join(clearExec(r.Cgroup), remove(in.dir, FeedFile))
		ended = true
	}
	if err != nil {
		in.k.cfg.Log.Error(err, "cannot adopt what gives memory", "name", in.key.Name, "instance", in.key.Instance)
	}
	if ended {
		return
	}
	if !isBelieved { // and nothing is done to what it names
		in.loseMemory()
		return
	}
	if pid, pidfd, err := openOldest(r.Cgroup); err == nil {
		if in.feedBy(r, pid, pidfd) == nil {
			in.feed.hold()
			return
		}
		pidfd.Close()
	}
	if err := clearExec(r.Cgroup); err != nil {
		in.k.cfg.Log.Error(err, "what gave memory leaves its cgroup", "name", in.key.Name, "instance", in.key.Instance)
	}
	in.k.cfg.Log.Info("memory is lost: what it came from ended while no keeper ran", "name", in.key.Name, "instance", in.key.Instance)
	in.loseMemory()
}

// clearFeed ends the feeder of a restore that an earlier keeper began and nobody committed.
func clearFeed(dir string, key Key) error {
	var r feedRecord
	err := readRecord(dir, FeedFile, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = r.believe(key)
	}
	if err == nil {
		err = clearExec(r.Cgroup)
	}
	return errors.Join(err, remove(dir, FeedFile))
}
