package oci

import (
	"context"
	"encoding/json"
	"errors"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup/systemd"
)

// Update changes the limits of a container that has not stopped: what is said in change takes the place of what was, and the rest stays. When one of
// them cannot be kept, none is changed. A 0 says nothing where it is no limit (memory, pids, shares, quota, period, weight), as engines know it.
func (r *Runtime) Update(ctx context.Context, id string, change *specs.LinuxResources) error {
	dir, rec, status, err := r.lead(ctx, id)
	if err != nil {
		return err
	}
	defer dir.close()
	if status == specs.StateStopped {
		return ErrNotRunning
	}
	config, err := r.config(rec)
	if err != nil {
		return err
	}
	merged := &specs.LinuxResources{}
	if config.Linux != nil && config.Linux.Resources != nil {
		merged = config.Linux.Resources
	}
	before, err := Resources(merged)
	if err != nil {
		return invalid("cannot use the limits that there are: %v", err)
	}
	merge(merged, change)
	limits, err := Resources(merged)
	if err != nil {
		return invalid("cannot use the limits: %v", err)
	}
	if rec.Resources, err = json.Marshal(merged); err != nil {
		return err
	}
	group, err := r.group(rec)
	if err != nil {
		return err
	}
	defer group.Close()
	if err := group.Set(limits); err != nil {
		return err
	}
	if rec.Scope != nil {
		err = systemd.SetScope(ctx, *rec.Scope, limits)
	}
	if err == nil {
		err = dir.writeJSON(stateFile, rec)
	}
	if err != nil {
		return errors.Join(err, group.Set(before))
	}
	return nil
}

// merge puts what is said in change into the place of what was.
func merge(r, change *specs.LinuxResources) {
	if m := change.Memory; m != nil {
		if r.Memory == nil {
			r.Memory = &specs.LinuxMemory{}
		}
		takeSaid(&r.Memory.Limit, m.Limit)
		takeSaid(&r.Memory.Reservation, m.Reservation)
		takeSaid(&r.Memory.Swap, m.Swap)
		take(&r.Memory.Swappiness, m.Swappiness)
		take(&r.Memory.DisableOOMKiller, m.DisableOOMKiller)
		if value(m.Limit) < 0 && value(m.Swap) == 0 { // without a limit of memory there is none of both together
			r.Memory.Swap = m.Limit
		}
	}
	if c := change.CPU; c != nil {
		if r.CPU == nil {
			r.CPU = &specs.LinuxCPU{}
		}
		takeSaid(&r.CPU.Shares, c.Shares)
		takeSaid(&r.CPU.Quota, c.Quota)
		takeSaid(&r.CPU.Period, c.Period)
		take(&r.CPU.Burst, c.Burst)
		takeSaid(&r.CPU.RealtimeRuntime, c.RealtimeRuntime)
		takeSaid(&r.CPU.RealtimePeriod, c.RealtimePeriod)
		take(&r.CPU.Idle, c.Idle)
		if c.Cpus != "" {
			r.CPU.Cpus = c.Cpus
		}
		if c.Mems != "" {
			r.CPU.Mems = c.Mems
		}
	}
	if p := change.Pids; p != nil {
		if r.Pids == nil {
			r.Pids = &specs.LinuxPids{}
		}
		takeSaid(&r.Pids.Limit, p.Limit)
	}
	if b := change.BlockIO; b != nil {
		mergeIO(r, b)
	}
	if len(change.HugepageLimits) > 0 {
		r.HugepageLimits = change.HugepageLimits
	}
	if change.Network != nil {
		r.Network = change.Network
	}
	for device, limit := range change.Rdma {
		put(&r.Rdma, device, limit)
	}
	for file, text := range change.Unified {
		put(&r.Unified, file, text)
	}
}

func mergeIO(r *specs.LinuxResources, b *specs.LinuxBlockIO) {
	if r.BlockIO == nil {
		r.BlockIO = &specs.LinuxBlockIO{}
	}
	takeSaid(&r.BlockIO.Weight, b.Weight)
	if len(b.WeightDevice) > 0 {
		r.BlockIO.WeightDevice = b.WeightDevice
	}
	for into, said := range map[*[]specs.LinuxThrottleDevice][]specs.LinuxThrottleDevice{
		&r.BlockIO.ThrottleReadBpsDevice:   b.ThrottleReadBpsDevice,
		&r.BlockIO.ThrottleWriteBpsDevice:  b.ThrottleWriteBpsDevice,
		&r.BlockIO.ThrottleReadIOPSDevice:  b.ThrottleReadIOPSDevice,
		&r.BlockIO.ThrottleWriteIOPSDevice: b.ThrottleWriteIOPSDevice,
	} {
		if len(said) > 0 {
			*into = said
		}
	}
}

// takeSaid is take of a number that says nothing when it is 0.
func takeSaid[T int64 | uint64 | uint16](into **T, said *T) {
	if value(said) != 0 {
		*into = said
	}
}

func take[T any](into **T, said *T) {
	if said != nil {
		*into = said
	}
}
