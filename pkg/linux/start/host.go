package start

import (
	"errors"
	"maps"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/process/tinyinit"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
)

// Host is what all starts by one process have in common: what it has to give, and the files that every start uses and
// none consumes. It does not change, and may be used from many goroutines.
type Host struct {
	// Waits tells that this process gets the listener of a filter that notifies from the waiting child. Set it before the first plan.
	Waits bool

	capability capability.Node
	ceilings   attribute.Ceilings
	signals    process.Signals
	proc       *os.File // for attribute.FileProc
	init       *os.File // for attribute.FileInit
	savable    *os.File // the same for containers that images are taken of
	filters    seccomp.Cache
}

// OpenHost reads what process pid, which will run the programs, has to give.
func OpenHost(pid int) (_ *Host, err error) {
	h := &Host{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.capability, err = capability.ReadNode(pid); err != nil {
		return nil, err
	}
	if h.ceilings, err = attribute.ReadCeilings(pid); err != nil {
		return nil, err
	}
	if h.signals, err = process.ReadSignals(pid); err != nil {
		return nil, err
	}
	if h.proc, err = attribute.OpenProc(); err != nil {
		return nil, err
	}
	if h.init, err = tinyinit.Open(); err != nil {
		return nil, err
	}
	h.savable, err = mount.NewExecutable(tinyinit.Name, h.init)
	return h, err
}

// Lend adds the files that every start uses to those of one start. They stay the host's to close.
func (h *Host) Lend(files map[string]*os.File) map[string]*os.File {
	files = maps.Clone(files)
	files[attribute.FileProc], files[attribute.FileInit] = h.proc, h.init
	return files
}

// LendSavable is Lend for a container that images are taken of: its init is one that an image can name.
func (h *Host) LendSavable(files map[string]*os.File) map[string]*os.File {
	files = h.Lend(files)
	files[attribute.FileInit] = h.savable
	return files
}

// Close closes what was opened. A nil host has nothing to close.
func (h *Host) Close() error {
	if h == nil {
		return nil
	}
	var errs []error
	for _, f := range []*os.File{h.proc, h.init, h.savable} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
