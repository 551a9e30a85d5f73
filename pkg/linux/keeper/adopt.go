package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// adoptAll takes over what an earlier keeper of this boot left in the state directory. What cannot be understood is
// reported and left alone: it must not keep the others from being adopted.
func (k *keeper) adoptAll(from *handover) error {
	defer k.store.settle()
	from.restore(&k.sandboxes)
	names, err := os.ReadDir(filepath.Join(k.cfg.RunDir, stateDir))
	if err != nil {
		return fmt.Errorf("cannot adopt containers: %w", err)
	}
	for _, name := range names {
		if !name.IsDir() {
			continue
		}
		ids, err := os.ReadDir(filepath.Join(k.cfg.RunDir, stateDir, name.Name()))
		if err != nil {
			k.cfg.Log.Error(err, "cannot adopt", "name", name.Name())
		}
		for _, id := range ids {
			n, err := strconv.ParseUint(id.Name(), 10, 64)
			if key := (Key{name.Name(), n}); err == nil && key.check() == nil && strconv.FormatUint(n, 10) == id.Name() {
				k.adopt(key, from)
			}
		}
	}
	return nil
}

// adopt takes over one instance.
func (k *keeper) adopt(key Key, from *handover) {
	defer survive(k.cfg.Log, nil, "name", key.Name, "instance", key.Instance)
	r, left, err := k.lastStart(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.cfg.Log.Error(err, "cannot adopt", "name", key.Name, "instance", key.Instance)
	}
	if left == nothing || r.BootID != k.boot {
		return
	}
	in := k.findOrAdd(key)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.record = r
	defer in.show()
	var e spec.Exit
	ended := readRecord(in.dir, ExitFile, &e) == nil && ofRun(e, r)
	k.adoptExecs(key, r.Cgroup, ended)
	defer in.adoptFeed(ended)
	if ended {
		return
	}
	if in.holdings = from.holdings(key); from == nil {
		in.holdings = k.store.take(in.stored())
	}
	in.ear = in.lastEar()
	in.left = left
	if in.stop, err = in.lastStop(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.cfg.Log.Error(err, "stop is forgotten", "name", key.Name, "instance", key.Instance)
	}
	in.pursue()
	if err := remove(in.dir, intentFile); err != nil {
		k.cfg.Log.Error(err, "cannot forget intent", "name", key.Name, "instance", key.Instance)
	}
}

// leftover is what an earlier keeper left of a run that this one has not wholly taken over yet.
type leftover int

const (
	nothing  leftover = iota
	starting          // a process that may be in the middle of its start program
	started
)

// lastStart reads the record of an instance's latest start. If the last keeper was killed in the middle of one, the
// record is completed from the process in the cgroup. If there is no such process, there was no start.
func (k *keeper) lastStart(key Key) (r record, left leftover, err error) {
	dir := k.dir(key)
	if r, err = readStart(dir, StartFile, key); err == nil {
		left = started
	}
	intent, failed := readStart(dir, intentFile, key)
	if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
		k.cfg.Log.Error(failed, "intent is ignored", "name", key.Name, "instance", key.Instance)
	}
	if failed != nil || intent.BootID != k.boot || intent.Starts <= r.Starts {
		return r, left, err
	}
	if intent.Restoring {
		return r, left, errors.Join(err, k.clearUnrestored(intent))
	}
	if intent.Pid, intent.StartTime = findInit(intent.Cgroup, intent.Init); intent.Pid == 0 {
		return r, left, errors.Join(err, remove(dir, intentFile))
	}
	if err := writeRecord(dir, StartFile, intent); err != nil {
		return record{}, nothing, err
	}
	return intent, starting, nil
}

// readStart reads what a start left; the zero record if that cannot be believed.
func readStart(dir, file string, key Key) (record, error) {
	var r record
	err := readRecord(dir, file, &r)
	if err == nil {
		err = r.believe(key, file == intentFile)
	}
	if err != nil {
		return record{}, fmt.Errorf("%s: %w", filepath.Join(dir, file), err)
	}
	return r, nil
}

// lastStop reads the stop that was under way; the zero stop if that cannot be believed.
func (in *instance) lastStop() (stopRecord, error) {
	var s stopRecord
	err := readRecord(in.dir, StopFile, &s)
	if err == nil {
		err = s.believe()
	}
	if err != nil {
		return stopRecord{}, fmt.Errorf("%s: %w", filepath.Join(in.dir, StopFile), err)
	}
	return s, nil
}

// pursue takes over what is left, again and again until nothing is. The caller holds mu.
func (in *instance) pursue() {
	defer func() {
		if in.left != nothing && !in.gone {
			in.k.after(retryPause, func() {
				in.mu.Lock()
				defer in.mu.Unlock()
				in.pursue()
			})
		}
	}()
	if err := in.settle(); err != nil {
		in.k.cfg.Log.Error(err, "cannot adopt", "name", in.key.Name, "instance", in.key.Instance, "pid", in.record.Pid)
	}
}

// settle takes over what is left, if anything is. After an error the process may run, whether this keeper holds it or not.
func (in *instance) settle() error {
	if in.left == nothing {
		return nil
	}
	defer in.show()
	if err := in.takeOver(); err != nil {
		return err
	}
	in.left = nothing
	return nil
}

// hold is settle for whom it is enough to have the process, or to know that there is none.
func (in *instance) hold() error {
	if err := in.settle(); err != nil && !in.running() {
		return fmt.Errorf("process %d of %q cannot be adopted: %w", in.record.Pid, in.key.Name, err)
	}
	return nil
}

// takeOver makes the process of the record this keeper's, or records that nobody knows how it ended. Done in part, it can be repeated.
func (in *instance) takeOver() (err error) {
	if in.pidfd == nil {
		in.pidfd, err = process.OpenVerified(in.record.Pid, in.record.StartTime)
	}
	if errors.Is(err, unix.ESRCH) {
		in.sayUnkept()
		return in.recordUnseen()
	}
	if err != nil {
		return err
	}
	if in.left == started && in.alive() { // one that is starting may still be in the node's namespaces
		err = in.k.sandboxes.adopt(in.record.Sandbox, in.record.Pid, in.pidfd)
	}
	kept := in.pipes[0] != nil // all the time, by a predecessor or its service manager
	err = errors.Join(err, in.open(in.record.Log, false), in.watch())
	if !kept && !in.alive() {
		in.sayUnkept()
	}
	if in.stop.Reason == spec.ExitStopped {
		in.armStop()
	}
	return err
}

// sayUnkept says that the process ended with nobody at the other ends of its pipes: what it had written and nobody had read went with it.
func (in *instance) sayUnkept() {
	in.k.cfg.Log.Info("output may be lost: the container ended while no keeper ran", "name", in.key.Name, "instance", in.key.Instance)
}

// recordUnseen records an exit that nobody saw.
func (in *instance) recordUnseen() error {
	if err := writeRecord(in.dir, ExitFile, in.describe(nil)); err != nil {
		return err
	}
	in.k.subscribers.publish(Event{Key: in.key, Kind: spec.EventExit})
	return nil
}
