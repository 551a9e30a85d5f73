package keeper

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// instance is one instance and, while it runs, its process.
//
//	known --start--> running --exit--> known --release--> gone
type instance struct {
	k    *keeper
	key  Key
	dir  string
	view atomic.Pointer[view] // what List shows, so that it waits for nobody
	// attended tells of a start whose process waits for somebody, who may have further ones started meanwhile.
	attended atomic.Bool

	io     sync.Mutex // held, after mu if both are, while output is moved: a stop need not wait for a slow disk
	mu     sync.Mutex // held through each step of its life
	gone   bool       // released: whoever waited for mu finds another instance
	record record     // the latest start; Pid 0 before the first. Its run changes only while log is nil, so io is enough to read that
	stop   stopRecord // a stop under way
	timer  *time.Timer
	left   leftover
	feed   *feeder // what gives it memory; nil when that is its own
	ear    ear     // what the latest start has said of itself
	holdings
	listeners []*listener // who get a copy of the output; guarded by io
	ending    time.Time   // since when they are to get the last of it; guarded by io
}

// holdings are what a running instance holds; zero when none runs.
type holdings struct {
	pidfd   *os.File
	pipes   [2]*os.File // of stdout and stderr
	stdin   *os.File    // the pipe of an input that is kept open; nil for none
	console *os.File    // the master of a terminal; nil for none
	notify  *os.File    // the socket for sd_notify(3); nil for none
	log     *sharedLog
	sources [5]*source // changed with mu and io held
}

// pipeNames are the FIFOs of an instance.
var pipeNames = [2]string{FileStdout, FileStderr}

// streams are the pipes' names in the log.
var streams = [2]log.Stream{log.Stdout, log.Stderr}

func (in *instance) running() bool { return in.pidfd != nil }

// run names the latest start in the log.
func (in *instance) run() log.Run {
	return log.Run{Instance: in.key.Instance, Start: uint32(in.record.Starts)}
}

// show publishes what List shows.
func (in *instance) show() {
	running := in.running() || in.left != nothing
	in.view.Store(&view{Process{Key: in.key, Started: in.record.Started, Running: running}, in.log})
}

// view is an instance as it was after its latest step.
type view struct {
	shown Process
	log   *sharedLog // while it runs
}

// process is the view with what changes between steps.
func (v *view) process() Process {
	p := v.shown
	if v.log != nil {
		p.Dropped = v.log.Dropped()
	}
	return p
}

// open opens the log and the pipes of a process that are not open yet. Whatever the error, what could be opened is, until close.
func (in *instance) open(c Log, make bool) (err error) {
	in.io.Lock()
	defer in.io.Unlock()
	if in.log == nil {
		in.log, err = in.k.logs.open(c, make)
	}
	for i, name := range pipeNames {
		if in.pipes[i] != nil {
			continue // handed over by a predecessor
		}
		var failed error
		in.pipes[i], failed = openFIFO(in.dir, name)
		err = errors.Join(err, failed)
	}
	if in.record.Stdin && in.stdin == nil {
		var failed error
		in.stdin, failed = openFIFO(in.dir, FileStdin)
		err = errors.Join(err, failed)
	}
	if in.record.Notify.Socket && in.notify == nil {
		var failed error
		if in.notify, failed = openNotify(in.dir); failed != nil && !make { // who runs is not given up for it
			in.k.cfg.Log.Error(failed, "readiness is not heard", "name", in.key.Name, "instance", in.key.Instance)
			failed = nil
		}
		err = errors.Join(err, failed)
	}
	return err
}

// watch begins to wait for the end and the output of the process, as far as they are open and not waited for yet. What is ready at once waits for io,
// to find its source.
func (in *instance) watch() error {
	in.io.Lock()
	defer in.io.Unlock()
	var errs []error
	files := [...]*os.File{in.pidfd, in.pipes[0], in.pipes[1], in.console, in.notify}
	ready := [...]func() bool{in.ended, in.output(0), in.output(1), in.terminal, in.told}
	for i, f := range files {
		if f == nil || in.sources[i] != nil {
			continue
		}
		var err error
		in.sources[i], err = in.k.loop.add(f, in.k.guarded(ready[i]))
		errs = append(errs, err)
	}
	in.k.store.keep(in)
	return errors.Join(errs...)
}

// output is what to do when pipe i is readable.
func (in *instance) output(i int) func() bool {
	return func() bool {
		in.io.Lock()
		defer in.io.Unlock()
		if in.log == nil { // closed meanwhile
			return false
		}
		if in.drain(i, false) == 0 && holds(in.pipes[i]) > 0 { // a listener is slow, or nothing can be taken out, not even to be dropped
			source := in.sources[1+i]
			in.k.after(stallPause, func() { in.k.loop.rearm(source) })
			return false
		}
		return true
	}
}

// drain moves what a pipe holds, or a good part of it, to the log, and copies it to the listeners. The caller holds io.
func (in *instance) drain(i int, all bool) (moved int64) {
	limit := int64(0) // none
	if len(in.listeners) > 0 {
		if limit = in.copyOut(i, all); limit == 0 {
			return 0
		}
	}
	moved, err := in.log.Drain(in.run(), streams[i], in.pipes[i], limit)
	if err != nil {
		in.k.cfg.Log.Error(err, "output lost", "name", in.key.Name, "instance", in.key.Instance)
	}
	in.wentOn(i, moved)
	return moved
}

// over is close when the run is over, for a successor too.
func (in *instance) over() {
	in.k.store.drop(in.stored())
	in.close()
}

// close lets go of everything a process held.
func (in *instance) close() {
	in.io.Lock()
	defer in.io.Unlock()
	for _, s := range in.sources {
		in.k.loop.remove(s)
	}
	for _, f := range append(in.pipes[:], in.pidfd, in.stdin, in.console) {
		if f != nil {
			f.Close()
		}
	}
	if in.notify != nil {
		hurry(func() { in.notify.Close() })
	}
	if in.log != nil {
		in.k.logs.close(in.log)
	}
	if in.timer != nil {
		in.timer.Stop()
	}
	in.holdings, in.timer, in.left, in.ending = holdings{}, nil, nothing, time.Time{}
}
