package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// start starts the program in an instance, unless a process runs there or this very request was carried out before. Before the process is made an intent is
// recorded, and after it the record: a keeper killed between the two leaves what its successor needs to find the process.
func (in *instance) start(head startHeader, program *process.Program, files map[string]*os.File) (_ Started, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil {
		return Started{}, err
	}
	switch {
	case in.gone:
		return Started{}, errGone
	case in.running(), head.ID != "" && head.ID == in.record.ID: // in the second case it has ended since
		return in.record.Started, nil
	}
	defer in.k.strays.make()()
	before := in.record
	in.record = in.nextRecord(head, program)
	in.record.Stdin = in.record.Stdin && files[FileStdin] == nil
	in.ear = newEar(in.record.Notify)
	if err := in.launch(program, files, head.Patience); err != nil {
		in.over()
		in.record = before
		if in.gone = before.Pid == 0; in.gone {
			in.k.drop(in)
		}
		return Started{}, errors.Join(err, remove(in.dir, intentFile))
	}
	in.stop = stopRecord{}
	in.show()
	return in.record.Started, nil
}

// nextRecord is that of the start to come.
func (in *instance) nextRecord(head startHeader, program *process.Program) record {
	return record{
		ID: head.ID, Key: in.key, Sandbox: head.Sandbox, Log: head.Log, Cgroup: head.Cgroup, OOM: head.OOM,
		Init:  program.Clone&unix.CLONE_NEWPID != 0,
		Stdin: slices.Contains(program.Files, FileStdin),
		Started: Started{
			BootID: in.k.boot, Starts: in.record.Starts + 1, OOMKills: oomKills(head.OOM), StartedAt: time.Now(), Notify: head.Notify,
		},
	}
}

// launch makes the process and records it. After an error there is no process; the caller closes the rest.
func (in *instance) launch(program *process.Program, files map[string]*os.File, patience time.Duration) error {
	if err := in.open(in.record.Log, true); err != nil {
		return err
	}
	all, err := in.files(files)
	if err != nil {
		return err
	}
	if err := writeRecord(in.dir, intentFile, in.record); err != nil {
		return err
	}
	if err := remove(in.dir, StopFile); err != nil {
		return err
	}
	in.log.Begin(in.run())
	in.attended.Store(patience > 0)
	p, err := execute(program, all, in.record.Cgroup, process.Timeout+min(max(patience, 0), maxPatience), in.k.meanwhile)
	in.attended.Store(false)
	if err != nil {
		in.log.End(in.run())
		return err
	}
	in.pidfd, in.record.Pid = p.Pidfd, p.Pid
	if err := errors.Join(in.k.sandboxes.keep(in.record.Sandbox, files), in.recordStart(), in.watch()); err != nil {
		in.discard()
		return err
	}
	return nil
}

// maxPatience keeps the sum of a patience and a timeout from overflowing.
const maxPatience = math.MaxInt64 - process.Timeout

// meanwhile lets strays be reaped while a child waits for others, who may take their time. Only for a child that keeps its pid.
func (k *keeper) meanwhile(pid int) (back func()) {
	waiting := &execution{pid: pid}
	k.further.add(waiting)
	k.strays.making.RUnlock()
	return func() {
		k.strays.making.RLock()
		k.further.remove(waiting)
	}
}

// execute runs a program until it executes its command. One that parks may wait for others until the timeout; then all that
// there is in its cgroup is killed. Around that wait goes meanwhile, unless it is nil.
func execute(program *process.Program, files map[string]*os.File, cgroup string, timeout time.Duration, meanwhile func(pid int) (back func())) (*process.Process, error) {
	if !program.Parks() {
		return process.Start(program, files)
	}
	parked, err := process.StartParked(program, files)
	if err != nil {
		return nil, err
	}
	defer parked.Close()
	if meanwhile != nil {
		defer meanwhile(parked.Pid)()
	}
	err = waitFor(parked, timeout)
	switch {
	case err == nil:
		return &parked.Process, nil
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.Join(err, killListed(cgroup))
	}
	return nil, errors.Join(err, parked.Abandon())
}

func waitFor(parked *process.Parked, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return parked.Wait(ctx)
}

// recordStart writes down the process that was made.
func (in *instance) recordStart() (err error) {
	if in.record.StartTime, err = process.StartTime(in.record.Pid); err != nil {
		return err
	}
	if err := writeRecord(in.dir, StartFile, in.record); err != nil {
		return err
	}
	return remove(in.dir, ExitFile, intentFile)
}

// discard ends a process that could not be recorded.
func (in *instance) discard() {
	in.killAll()
	process.Reap(in.pidfd)
	in.log.End(in.run())
	remove(in.dir, StartFile)
}

// files adds the keeper's own files to those that came with the request, which may not take their names.
func (in *instance) files(sent map[string]*os.File) (map[string]*os.File, error) {
	if err := in.takeConsole(sent); err != nil {
		return nil, err
	}
	own := map[string]*os.File{FileStdout: in.pipes[0], FileStderr: in.pipes[1]}
	if in.record.Stdin {
		own[FileStdin] = in.stdin
	}
	for name := range own {
		if sent[name] != nil {
			return nil, fmt.Errorf("cannot start %q: file %q is the keeper's to bring: %w", in.key.Name, name, fs.ErrInvalid)
		}
	}
	maps.Copy(own, sent)
	return own, nil
}
