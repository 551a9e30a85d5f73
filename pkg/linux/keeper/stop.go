package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// releaseTimeout is how long a killed process may take to die; one in the middle of a system call of a dead device takes forever.
const releaseTimeout = 10 * time.Second

// parseSignal reads a signal's name, "SIGTERM".
func parseSignal(name string) (unix.Signal, error) {
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q: %w", name, fs.ErrInvalid)
}

// requestStop sends the signal and arms the kill. A stop under way is only ever shortened, and its signal not sent again,
// because many programs take a second one for impatience.
func (in *instance) requestStop(name string, timeout time.Duration) error {
	sig, err := parseSignal(name)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil || !in.running() {
		return err
	}
	timeout = max(timeout, 0)
	stop := stopRecord{
		Stopping: spec.Stopping{Signal: name, Deadline: time.Now().Add(timeout), Reason: spec.ExitStopped},
		Boottime: boottime() + timeout,
	}
	switch {
	case in.stop.Reason != "" && in.stop.Reason != spec.ExitStopped:
		return in.killAll() // it is being killed already
	case sig == unix.SIGKILL:
		return in.kill(stop)
	case !in.heeds(sig):
		stop.Reason = spec.ExitStopSignalUnhandled
		return in.kill(stop)
	}
	send := in.stop.Signal != name
	if !in.stop.IsZero() && in.stop.Boottime < stop.Boottime {
		stop.Deadline, stop.Boottime = in.stop.Deadline, in.stop.Boottime
	}
	in.noteStop(stop)
	in.armStop()
	if send {
		return ignoreDead(process.Signal(in.pidfd, sig))
	}
	return nil
}

// heeds tells whether the process reacts to a signal. The kernel discards signals that the first process of a pid namespace
// neither handles nor blocks; see pid_namespaces(7). When in doubt it does. A signal counts as blocked when it stays so: for the moments of
// a fork every shell blocks all of them. One that is awaited shows neither way while the process that was woken has not come to run.
func (in *instance) heeds(sig unix.Signal) bool {
	if !in.record.Init {
		return true
	}
	for pause := firstBlockedPause; ; pause *= 2 {
		signals, err := process.ReadSignals(in.record.Pid)
		if err != nil || !in.alive() {
			return true // dead, and the pid perhaps a stranger's
		}
		doubtful := signals.Blocked.Has(sig) || signals.Busy
		if signals.Caught.Has(sig) || signals.Waiting || !doubtful || pause > lastBlockedPause {
			return signals.Heeds(sig)
		}
		time.Sleep(pause)
	}
}

// A process that leaves a doubt is looked at again after these pauses, each twice the one before.
const (
	firstBlockedPause = time.Millisecond
	lastBlockedPause  = 8 * time.Millisecond
)

// noteStop records why the process will end, before anything makes it end. A record that cannot be written is missed only if this
// keeper dies before the process.
func (in *instance) noteStop(stop stopRecord) {
	in.stop = stop
	if err := writeRecord(in.dir, StopFile, stop); err != nil {
		in.k.cfg.Log.Error(err, "cannot record stop", "name", in.key.Name, "instance", in.key.Instance)
	}
}

// kill records the reason and kills.
func (in *instance) kill(stop stopRecord) error {
	in.noteStop(stop)
	return in.killAll()
}

// armStop sets the timer to the deadline of the stop under way.
func (in *instance) armStop() {
	if in.timer != nil {
		in.timer.Stop()
	}
	in.timer = in.k.after(in.stop.remaining(), in.expire)
}

// expire kills what has not ended by the deadline.
func (in *instance) expire() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.running() || in.stop.Reason != spec.ExitStopped || !in.alive() {
		return
	}
	if in.stop.remaining() > 0 { // the machine slept, or the deadline is a later start's
		in.armStop()
		return
	}
	stop := in.stop
	stop.Reason = spec.ExitStopTimeout
	if err := in.kill(stop); err != nil {
		in.k.cfg.Log.Error(err, "cannot kill at the stop deadline", "name", in.key.Name, "instance", in.key.Instance)
		in.k.after(retryPause, in.expire)
	}
}

// requestKill sends a signal without arming anything.
func (in *instance) requestKill(name string) error {
	sig, err := parseSignal(name)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil || !in.running() {
		return err
	}
	if sig != unix.SIGKILL {
		return ignoreDead(process.Signal(in.pidfd, sig))
	}
	return in.kill(stopRecord{
		Stopping: spec.Stopping{Signal: name, Deadline: time.Now(), Reason: spec.ExitKilled},
		Boottime: boottime(),
	})
}

// killAll kills process 1, with which its pid namespace ends, or without such a namespace all of the cgroup.
func (in *instance) killAll() error {
	err := ignoreDead(process.Signal(in.pidfd, unix.SIGKILL))
	if in.record.Init {
		return err
	}
	return errors.Join(err, killListed(in.record.Cgroup))
}

// release ends what runs and forgets the instance.
func (in *instance) release() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil {
		return err
	}
	in.gone = true // even if its directory is lost, which keeps the exit from being recorded
	if in.running() {
		killCgroup(in.record.Cgroup) // may be gone already
		if err := in.killAll(); err != nil {
			return err
		}
		in.awaitEnd(releaseTimeout)
		in.finish(false)
	}
	if in.running() {
		in.gone = false
		return fmt.Errorf("cannot release %q: process %d does not die: %w", in.key.Name, in.record.Pid, unix.EBUSY)
	}
	in.k.drop(in)
	return nil
}

// ignoreDead drops the error of signalling a process that has ended.
func ignoreDead(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
