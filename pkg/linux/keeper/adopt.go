package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// adoptAll takes over what an earlier keeper of this boot left in the state directory. What cannot be understood is
// reported and left alone: it must not keep the others from being adopted.
func (k *keeper) adoptAll(from *handover) error {
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
	r, started, err := k.lastStart(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.cfg.Log.Error(err, "cannot adopt", "name", key.Name, "instance", key.Instance)
	}
	if err != nil || r.BootID != k.boot {
		return
	}
	in := k.findOrAdd(key)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.record = r
	defer in.show()
	var e spec.Exit
	if readRecord(in.dir, ExitFile, &e) == nil && ofRun(e, r) {
		return
	}
	if err := errors.Join(in.takeOver(from, started), remove(in.dir, intentFile)); err != nil {
		k.cfg.Log.Error(err, "cannot adopt", "name", key.Name, "instance", key.Instance, "pid", r.Pid)
	}
}

// lastStart reads the record of an instance's latest start. If the last keeper was killed in the middle of one, the
// record is completed from the process in the cgroup; started is false for it. If there is no such process, there was no start.
func (k *keeper) lastStart(key Key) (r record, started bool, err error) {
	dir := k.dir(key)
	err = readRecord(dir, StartFile, &r)
	var intent record
	if readRecord(dir, intentFile, &intent) != nil || intent.BootID != k.boot || intent.Starts <= r.Starts {
		return r, true, err
	}
	if intent.Pid, intent.StartTime = findInit(intent.Cgroup, intent.Init); intent.Pid == 0 {
		return r, true, errors.Join(err, remove(dir, intentFile))
	}
	return intent, false, writeRecord(dir, StartFile, intent)
}

// takeOver makes the process of the record this keeper's, or records that nobody knows how it ended.
func (in *instance) takeOver(from *handover, started bool) (err error) {
	in.holdings = from.holdings(in.key)
	if in.pidfd == nil {
		in.pidfd, err = process.OpenVerified(in.record.Pid, in.record.StartTime)
	}
	if err != nil {
		return writeRecord(in.dir, ExitFile, in.describe(nil))
	}
	readRecord(in.dir, StopFile, &in.stop)
	// A process in the middle of its start program may still be in the node's namespaces.
	if started {
		err = in.k.sandboxes.adopt(in.key.Name, in.record.Network, in.record.Pid)
	}
	err = errors.Join(err, in.open(in.record.Log), in.watch())
	if in.stop.Reason == spec.ExitStopped {
		in.armStop()
	}
	return err
}
