package ocicmd

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// numbers are the flags of update that hold a number, and where it goes; a size may have a unit.
var numbers = []struct {
	flag, usage string
	size        bool
	least, most int64
	into        func(r *specs.LinuxResources, n int64)
}{
	{"blkio-weight", "weight of disks, 10 to 1000", false, 0, math.MaxUint16, func(r *specs.LinuxResources, n int64) { r.BlockIO.Weight = as[uint16](n) }},
	{"cpu-period", "period of cpu-quota in microseconds", false, 0, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.Period = as[uint64](n) }},
	{"cpu-quota", "processor time in each period in microseconds; -1 for no limit", false, math.MinInt64, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.Quota = &n }},
	{"cpu-burst", "unused time that may be used later in microseconds", false, 0, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.Burst = as[uint64](n) }},
	{"cpu-share", "weight of processor time", false, 0, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.Shares = as[uint64](n) }},
	{"cpu-rt-period", "period of cpu-rt-runtime in microseconds", false, 0, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.RealtimePeriod = as[uint64](n) }},
	{"cpu-rt-runtime", "real-time in each period in microseconds", false, math.MinInt64, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.RealtimeRuntime = &n }},
	{"cpu-idle", "1 to run only when nothing else wants to", false, math.MinInt64, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.CPU.Idle = &n }},
	{"memory", "memory in bytes; -1 for no limit", true, -1, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.Memory.Limit = &n }},
	{"memory-reservation", "memory to be left to it in bytes", true, -1, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.Memory.Reservation = &n }},
	{"memory-swap", "memory and swap together in bytes; -1 for no limit", true, -1, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.Memory.Swap = &n }},
	{"pids-limit", "number of tasks; -1 for no limit", false, math.MinInt64, math.MaxInt64, func(r *specs.LinuxResources, n int64) { r.Pids.Limit = &n }},
}

func as[T uint16 | uint64](n int64) *T { v := T(n); return &v }

func (c *command) update(f *flags, args []string) (int, error) {
	file := f.text("resources,r", "FILE", "", "JSON of linux.resources, - for the standard input; all other flags are ignored")
	cpus := f.text("cpuset-cpus", "LIST", "", "processors")
	mems := f.text("cpuset-mems", "LIST", "", "memory nodes")
	said := make([]*string, len(numbers))
	for i, n := range numbers {
		said[i] = f.text(n.flag, "N", "", n.usage)
	}
	f.text("kernel-memory", "N", "", "is taken, and changes nothing")
	f.text("kernel-memory-tcp", "N", "", "is taken, and changes nothing")
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{Cpus: *cpus, Mems: *mems}, Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{}}
	if *file != "" {
		if r, err = c.readResources(*file); err != nil {
			return 1, err
		}
		return 0, c.Update(c.ctx, args[0], r)
	}
	for i, n := range numbers {
		if *said[i] == "" {
			continue
		}
		value, err := parseNumber(*said[i], n.size)
		if err == nil && (value < n.least || value > n.most) {
			err = fmt.Errorf("%s is not between %d and %d", *said[i], n.least, n.most)
		}
		if err != nil {
			return 1, fmt.Errorf("invalid value for %s: %w", n.flag, err)
		}
		n.into(r, value)
	}
	return 0, c.Update(c.ctx, args[0], r)
}

func (c *command) readResources(path string) (*specs.LinuxResources, error) {
	in := c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return nil, err
	}
	r := &specs.LinuxResources{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("cannot read the resources: %w", err)
	}
	return r, nil
}

// parseNumber reads a number, or a size such as 64M or 64Mi: units are powers of 1024 here, as engines have it.
func parseNumber(text string, isSize bool) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil || !isSize {
		return n, err
	}
	digits := strings.TrimRight(strings.ToLower(text), "ib")
	unit := strings.IndexByte("kmgt", digits[max(len(digits)-1, 0)])
	if len(digits) > 1 && unit >= 0 {
		size, err := spec.ParseBytes(digits[:len(digits)-1] + strings.ToUpper(digits[len(digits)-1:]) + "i")
		return int64(size), err
	}
	return 0, fmt.Errorf("%q is no size", text)
}
