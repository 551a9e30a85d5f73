package keeper

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// retryPause is how long an exit that cannot be recorded waits, unreaped, for the next attempt.
const retryPause = time.Second

// unknownCode is the code of an exit that nobody saw.
const unknownCode = -1

// finalTurns bounds how often a pipe is drained after the exit, should a killed process still write into it.
const finalTurns = 16

// lastPatience is how long, after the exit, a listener that reads but slowly is waited for.
const lastPatience = 5 * time.Second

// ended is what to do when the pidfd is readable: the process has ended.
func (in *instance) ended() bool {
	in.end()
	return false
}

// end is finish for who does not hold mu, and has patience with listeners.
func (in *instance) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.finish(true)
}

// saysMore moves the output of a dead process as fast as its listeners take it, and tells whether they are to get more.
func (in *instance) saysMore() (more bool) {
	in.io.Lock()
	defer in.io.Unlock()
	if in.log == nil || len(in.listeners) == 0 {
		return false
	}
	if in.ending.IsZero() {
		in.ending = time.Now()
	}
	if time.Since(in.ending) > lastPatience {
		return false
	}
	if in.console != nil {
		err := in.pour()
		more = err == nil || errors.Is(err, unix.ENOBUFS)
	}
	for i, pipe := range in.pipes {
		for range finalTurns {
			if pipe == nil || in.drain(i, false) == 0 {
				break
			}
		}
		more = more || pipe != nil && holds(pipe) > 0
	}
	return more
}

// finish takes a dead process to its end: output, record, reap, event; in this order, so that whoever kills the keeper
// meanwhile finds a zombie to ask or a record to read. It does nothing while the process runs, and with patience nothing more than moving output
// while there are listeners that have not had the last of it.
func (in *instance) finish(patient bool) {
	if !in.running() {
		return
	}
	exit, ended := in.outcome()
	if !ended {
		in.k.loop.rearm(in.sources[0])
		return
	}
	if err := killListed(in.record.Cgroup); err != nil { // what shared the cgroup but not the pid namespace
		in.k.cfg.Log.Error(err, "processes are left", "name", in.key.Name, "instance", in.key.Instance)
	}
	in.endFeed()
	if patient && in.saysMore() {
		in.k.after(stallPause, in.end)
		return
	}
	in.drainAll()
	said := in.describe(exit)
	err := writeRecord(in.dir, ExitFile, said)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !in.gone { // without its directory nobody will ask
		in.k.cfg.Log.Error(err, "cannot record exit", "name", in.key.Name, "instance", in.key.Instance)
		in.k.after(retryPause, in.end)
		return
	}
	process.Reap(in.pidfd) // ECHILD: an adopted one, reaped by its new parent; ErrTraced: a stray from now on
	in.over()
	in.endListeners(said) // after it, so that none comes later
	in.show()
	in.k.strays.look()
	in.k.subscribers.publish(Event{Key: in.key, Kind: spec.EventExit})
}

// drainAll moves all that the pipes hold to the log, and ends the run there. An adopted process may lack either.
func (in *instance) drainAll() {
	in.io.Lock()
	defer in.io.Unlock()
	if in.log == nil {
		return
	}
	for range finalTurns {
		full := in.console != nil && in.pipes[0] != nil && errors.Is(in.pour(), unix.ENOBUFS)
		for i := range in.pipes {
			in.empty(i)
		}
		if !full {
			break
		}
	}
	in.log.End(in.run())
}

// empty moves all that a pipe holds, whoever listens. The caller holds io.
func (in *instance) empty(i int) {
	for range finalTurns {
		if in.pipes[i] == nil || in.drain(i, true) == 0 {
			break
		}
	}
}

// outcome tells how the process ended; nil if nobody knows. A child is asked by waitid(2); an adopted one by its
// pidfd once its parent has reaped it, and by its zombie until then, as is a child that somebody traces.
func (in *instance) outcome() (exit *process.Exit, ended bool) {
	e, ended, err := process.Peek(in.pidfd)
	if err == nil && (ended || in.alive()) {
		return &e, ended
	}
	for range 2 { // the second time because the zombie may be reaped between the two questions
		if e, known, err := process.Recall(in.pidfd); err == nil && known {
			return &e, true
		}
		if e, known := zombieExit(in.record.Pid, in.record.StartTime); known {
			return &e, true
		}
	}
	return nil, !in.alive()
}

// alive tells whether the process still runs, whoever its parent is.
func (in *instance) alive() bool { return !in.awaitEnd(0) }

// awaitEnd waits for the end of the process and tells whether it came in time.
func (in *instance) awaitEnd(timeout time.Duration) bool { return awaitEnd(in.pidfd, timeout) }

func awaitEnd(pidfd *os.File, timeout time.Duration) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for deadline := time.Now().Add(timeout); ; {
		n, err := unix.Poll(poll, int(max(time.Until(deadline), 0).Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// describe makes the record of an exit; nil is one that nobody saw.
func (in *instance) describe(exit *process.Exit) spec.Exit {
	e := spec.Exit{
		Code: unknownCode, Reason: spec.ExitUnknown, Pid: in.record.Pid,
		StartedAt: in.record.StartedAt, FinishedAt: time.Now(),
		OOMKilled: oomKills(in.record.OOM) > in.record.OOMKills,
	}
	if exit == nil {
		return e
	}
	e.Code = exit.Code
	if exit.Signal != 0 {
		e.Code = 128 + int(exit.Signal)
		e.Signal = unix.SignalName(exit.Signal)
	}
	e.Reason = reason(*exit, in.stop.Reason, e.OOMKilled)
	return e
}

// reason says why a process ended. A kill of ours explains a SIGKILL better than the OOM killer does, and that better than
// a stop signal.
func reason(exit process.Exit, stop string, oom bool) string {
	switch {
	case oom && exit.Signal == unix.SIGKILL && (stop == "" || stop == spec.ExitStopped):
		return spec.ExitOOMKilled
	case stop != "":
		return stop
	case exit == (process.Exit{}):
		return spec.ExitCompleted
	}
	return spec.ExitError
}
