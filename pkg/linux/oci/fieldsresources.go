package oci

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// resourceFields are those of linux.resources.
var resourceFields = []Field{
	{"linux.resources", "resources, deviceRules", func(t *translator) error {
		said := t.config.Linux.Resources
		if said == nil {
			said = &specs.LinuxResources{}
		}
		var err error
		if t.s.DeviceRules, err = deviceRules(said.Devices); err != nil {
			return err
		}
		t.s.Resources, err = Resources(said)
		return err
	}},
	{"linux.resources.devices", "deviceRules", nil},
	{"linux.resources.devices[].allow", "deviceRules.allow", nil},
	{"linux.resources.devices[].type", "deviceRules.type", nil},
	{"linux.resources.devices[].major", "deviceRules.major", nil},
	{"linux.resources.devices[].minor", "deviceRules.minor", nil},
	{"linux.resources.devices[].access", "deviceRules.access", nil},
	{"linux.resources.memory.limit", "resources.memory.max", nil},
	{"linux.resources.memory.reservation", "resources.memory.low", nil},
	{"linux.resources.memory.swap", "resources.memory.swap", nil},
	{"linux.resources.memory.swappiness", "resources.memory.swappiness", nil},
	{"linux.resources.memory.disableOOMKiller", "resources.memory.oomKillDisable", nil},
	{"linux.resources.cpu.shares", "resources.cpu.shares", nil},
	{"linux.resources.cpu.quota", "resources.cpu.max", nil},
	{"linux.resources.cpu.period", "resources.cpu.period", nil},
	{"linux.resources.cpu.burst", "resources.cpu.burst", nil},
	{"linux.resources.cpu.realtimeRuntime", "resources.cpu.rtRuntime", nil},
	{"linux.resources.cpu.realtimePeriod", "resources.cpu.rtPeriod", nil},
	{"linux.resources.cpu.cpus", "resources.cpuset.cpus", nil},
	{"linux.resources.cpu.mems", "resources.cpuset.mems", nil},
	{"linux.resources.cpu.idle", "resources.cpu.idle", nil},
	{"linux.resources.pids.limit", "resources.pids.max", nil},
	{"linux.resources.blockIO.weight", "resources.io.blkioWeight", nil},
	{"linux.resources.blockIO.weightDevice", "resources.io.deviceWeights", nil},
	{"linux.resources.blockIO.weightDevice[].major", "resources.io.deviceWeights", nil},
	{"linux.resources.blockIO.weightDevice[].minor", "resources.io.deviceWeights", nil},
	{"linux.resources.blockIO.weightDevice[].weight", "resources.io.deviceWeights", nil},
	{"linux.resources.blockIO.throttleReadBpsDevice", "resources.io.max.rbps", nil},
	{"linux.resources.blockIO.throttleReadBpsDevice[].major", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleReadBpsDevice[].minor", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleReadBpsDevice[].rate", "resources.io.max.rbps", nil},
	{"linux.resources.blockIO.throttleWriteBpsDevice", "resources.io.max.wbps", nil},
	{"linux.resources.blockIO.throttleWriteBpsDevice[].major", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleWriteBpsDevice[].minor", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleWriteBpsDevice[].rate", "resources.io.max.wbps", nil},
	{"linux.resources.blockIO.throttleReadIOPSDevice", "resources.io.max.riops", nil},
	{"linux.resources.blockIO.throttleReadIOPSDevice[].major", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleReadIOPSDevice[].minor", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleReadIOPSDevice[].rate", "resources.io.max.riops", nil},
	{"linux.resources.blockIO.throttleWriteIOPSDevice", "resources.io.max.wiops", nil},
	{"linux.resources.blockIO.throttleWriteIOPSDevice[].major", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleWriteIOPSDevice[].minor", "resources.io.max", nil},
	{"linux.resources.blockIO.throttleWriteIOPSDevice[].rate", "resources.io.max.wiops", nil},
	{"linux.resources.hugepageLimits", "resources.hugetlb", nil},
	{"linux.resources.hugepageLimits[].pageSize", "resources.hugetlb", nil},
	{"linux.resources.hugepageLimits[].limit", "resources.hugetlb.max, resources.hugetlb.rsvd", nil},
	{"linux.resources.network.classID", "resources.netCls.classid", nil},
	{"linux.resources.network.priorities", "resources.netPrio.ifpriomap", nil},
	{"linux.resources.network.priorities[].name", "resources.netPrio.ifpriomap", nil},
	{"linux.resources.network.priorities[].priority", "resources.netPrio.ifpriomap", nil},
	{"linux.resources.rdma", "resources.rdma.max", nil},
	{"linux.resources.rdma[].hcaHandles", "resources.rdma.max.hcaHandle", nil},
	{"linux.resources.rdma[].hcaObjects", "resources.rdma.max.hcaObject", nil},
	{"linux.resources.unified", "resources.unified", nil},
}

// Resources are limits in the words of a manifest.
func Resources(said *specs.LinuxResources) (r spec.Resources, err error) {
	if err := memory(&r.Memory, said.Memory); err != nil {
		return r, fmt.Errorf("memory: %w", err)
	}
	if err := cpu(&r, said.CPU); err != nil {
		return r, fmt.Errorf("cpu: %w", err)
	}
	if said.Pids != nil && said.Pids.Limit != nil {
		r.Pids.Max = limitOf(*said.Pids.Limit)
	}
	if err := blockIO(&r.IO, said.BlockIO); err != nil {
		return r, fmt.Errorf("blockIO: %w", err)
	}
	for _, l := range said.HugepageLimits {
		put(&r.Hugetlb.Max, l.Pagesize, spec.NewLimit(l.Limit))
		put(&r.Hugetlb.Rsvd, l.Pagesize, spec.NewLimit(l.Limit))
	}
	if n := said.Network; n != nil {
		if n.ClassID != nil {
			r.NetCls.ClassID = uint64(*n.ClassID)
		}
		for _, p := range n.Priorities {
			put(&r.NetPrio.IfPrioMap, p.Name, uint64(p.Priority))
		}
	}
	for device, l := range said.Rdma {
		var m spec.RDMAMax
		if l.HcaHandles != nil {
			m.HCAHandle = spec.NewLimit(uint64(*l.HcaHandles))
		}
		if l.HcaObjects != nil {
			m.HCAObject = spec.NewLimit(uint64(*l.HcaObjects))
		}
		put(&r.RDMA.Max, device, m)
	}
	r.Unified = maps.Clone(said.Unified)
	return r, nil
}

func put[V any](into *map[string]V, key string, value V) {
	if *into == nil {
		*into = map[string]V{}
	}
	(*into)[key] = value
}

// limitOf: 0 is not said, and what is below is no limit, as engines have it.
func limitOf(n int64) spec.Limit {
	switch {
	case n == 0:
		return spec.Limit{}
	case n < 0:
		return spec.MaxLimit()
	}
	return spec.NewLimit(uint64(n))
}

func memory(m *spec.Memory, said *specs.LinuxMemory) error {
	if said == nil {
		return nil
	}
	limit, swap := value(said.Limit), value(said.Swap)
	m.Max, m.Low = limitOf(limit), limitOf(value(said.Reservation))
	switch { // here it is memory and swap together
	case swap < 0 || swap == 0 && limit < 0:
		m.Swap = limitOf(min(swap, limit))
	case swap == 0:
	case limit <= 0:
		return invalid("swap, %d, is memory and swap together, and there is no limit of memory", swap)
	case swap < limit:
		return invalid("swap, %d, is memory and swap together, and less than the limit of memory, %d", swap, limit)
	default:
		m.Swap = spec.NewLimit(uint64(swap - limit))
	}
	if said.Swappiness != nil {
		if *said.Swappiness > 100 {
			return invalid("swappiness %d is more than 100", *said.Swappiness)
		}
		m.Swappiness = spec.NewNumber(*said.Swappiness)
	}
	m.OOMKillDisable = said.DisableOOMKiller != nil && *said.DisableOOMKiller
	return nil
}

// value is what a pointer points to, or zero.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

const defaultPeriod = 100_000 // microseconds

func cpu(r *spec.Resources, said *specs.LinuxCPU) error {
	if said == nil {
		return nil
	}
	if shares := value(said.Shares); shares != 0 {
		r.CPU.Shares = min(max(shares, 2), 262144) // as cpu.shares bounds it by itself
	}
	quota, period := value(said.Quota), value(said.Period)
	if period > math.MaxInt64/uint64(time.Microsecond) || value(said.Burst) > math.MaxInt64/uint64(time.Microsecond) ||
		value(said.RealtimePeriod) > math.MaxInt64/uint64(time.Microsecond) || value(said.RealtimeRuntime) < 0 || value(said.RealtimeRuntime) > math.MaxInt64/int64(time.Microsecond) {
		return invalid("a time is out of range")
	}
	if period != 0 {
		r.CPU.Period = spec.Duration(period * uint64(time.Microsecond))
	}
	switch {
	case quota < 0:
		r.CPU.Max = spec.MaxCores()
	case quota > 0:
		period = cmp.Or(period, defaultPeriod)
		r.CPU.Period = spec.Duration(period * uint64(time.Microsecond))
		if uint64(quota) > math.MaxInt64/1_000_000 {
			r.CPU.Max = spec.MaxCores()
			break
		}
		r.CPU.Max = spec.NewCores((uint64(quota)*1_000_000 + period/2) / period)
	}
	r.CPU.Burst = spec.Duration(value(said.Burst) * uint64(time.Microsecond))
	r.CPU.RTRuntime = spec.Duration(value(said.RealtimeRuntime) * int64(time.Microsecond))
	r.CPU.RTPeriod = spec.Duration(value(said.RealtimePeriod) * uint64(time.Microsecond))
	r.CPU.Idle = value(said.Idle) == 1
	if idle := value(said.Idle); idle != 0 && idle != 1 {
		return invalid("idle is %d, not 0 or 1", idle)
	}
	r.Cpuset = spec.Cpuset{Cpus: said.Cpus, Mems: said.Mems}
	return nil
}

func blockIO(io *spec.IO, said *specs.LinuxBlockIO) error {
	if said == nil {
		return nil
	}
	weight := func(w uint16) error {
		if w != 0 && (w < 10 || w > 1000) {
			return invalid("weight %d is not between 10 and 1000", w)
		}
		return nil
	}
	if err := weight(value(said.Weight)); err != nil {
		return err
	}
	io.BlkioWeight = uint64(value(said.Weight))
	for _, d := range said.WeightDevice {
		w := value(d.Weight)
		if err := weight(w); err != nil {
			return err
		}
		if w != 0 { // from 10..1000 to 1..10000
			put(&io.DeviceWeights, disk(d.LinuxBlockIODevice), 1+(uint64(w)-10)*9999/990)
		}
	}
	for _, list := range []struct {
		said []specs.LinuxThrottleDevice
		word func(*spec.IOMax) *spec.Limit
	}{
		{said.ThrottleReadBpsDevice, func(m *spec.IOMax) *spec.Limit { return &m.RBPS }},
		{said.ThrottleWriteBpsDevice, func(m *spec.IOMax) *spec.Limit { return &m.WBPS }},
		{said.ThrottleReadIOPSDevice, func(m *spec.IOMax) *spec.Limit { return &m.RIOPS }},
		{said.ThrottleWriteIOPSDevice, func(m *spec.IOMax) *spec.Limit { return &m.WIOPS }},
	} {
		for _, d := range list.said {
			m := io.Max[disk(d.LinuxBlockIODevice)]
			if *list.word(&m) = spec.NewLimit(d.Rate); d.Rate == 0 { // takes a limit away
				*list.word(&m) = spec.MaxLimit()
			}
			put(&io.Max, disk(d.LinuxBlockIODevice), m)
		}
	}
	return nil
}

func disk(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// deviceRules are those that are said, and after them the devices that every container may use (config-linux.md, "Default Devices").
func deviceRules(said []specs.LinuxDeviceCgroup) (rules []spec.DeviceRule, err error) {
	for _, d := range said {
		r := spec.DeviceRule{Allow: d.Allow, Type: spec.DeviceRuleType(d.Type), Access: d.Access}
		if !slices.Contains([]spec.DeviceRuleType{"", spec.RuleAll, spec.RuleBlock, spec.RuleChar}, r.Type) {
			return nil, invalid("devices: type %q is unknown", d.Type)
		}
		if r.Major, err = deviceNumber(d.Major); err != nil {
			return nil, err
		}
		if r.Minor, err = deviceNumber(d.Minor); err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return append(rules, spec.DefaultDeviceRules[1:]...), nil
}

// deviceNumber: none, and -1, is every number.
func deviceNumber(n *int64) (spec.Number, error) {
	switch {
	case n == nil || *n == -1:
		return spec.Number{}, nil
	case *n < 0 || *n > math.MaxUint32:
		return spec.Number{}, invalid("devices: no device has the number %d", *n)
	}
	return spec.NewNumber(uint64(*n)), nil
}
