package cgroup_test

import (
	"os"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// samples says something in one leaf, twice and differently. memory.swap needs memory.max beside it on v1.
var samples = map[string][2]spec.Resources{
	"memory.max":  {{Memory: spec.Memory{Max: spec.NewLimit(64*mebi + 1)}}, {Memory: spec.Memory{Max: spec.NewLimit(32 * mebi)}}},
	"memory.high": {{Memory: spec.Memory{High: spec.NewLimit(48 * mebi)}}, {Memory: spec.Memory{High: spec.MaxLimit()}}},
	"memory.low":  {{Memory: spec.Memory{Low: spec.NewLimit(8 * mebi)}}, {Memory: spec.Memory{Low: spec.NewLimit(4*mebi - 1)}}},
	"memory.swap": {
		{Memory: spec.Memory{Max: spec.NewLimit(64 * mebi), Swap: spec.NewLimit(16 * mebi)}},
		{Memory: spec.Memory{Max: spec.NewLimit(256 * mebi), Swap: spec.NewLimit(0)}},
	},
	"memory.min":            {{Memory: spec.Memory{Min: spec.NewLimit(4 * mebi)}}, {Memory: spec.Memory{Min: spec.NewLimit(2 * mebi)}}},
	"memory.zswap":          {{Memory: spec.Memory{Zswap: spec.NewLimit(4 * mebi)}}, {Memory: spec.Memory{Zswap: spec.NewLimit(0)}}},
	"memory.oomGroup":       {{Memory: spec.Memory{OOMGroup: true}}, {Memory: spec.Memory{OOMGroup: true}}},
	"memory.oomKillDisable": {{Memory: spec.Memory{OOMKillDisable: true}}, {Memory: spec.Memory{OOMKillDisable: true}}},
	"memory.swappiness":     {{Memory: spec.Memory{Swappiness: spec.NewNumber(0)}}, {Memory: spec.Memory{Swappiness: spec.NewNumber(90)}}},
	"cpu.period": {
		{CPU: spec.CPU{Period: spec.Duration(50 * time.Millisecond)}},
		{CPU: spec.CPU{Max: spec.NewCores(333_333), Period: spec.Duration(30 * time.Millisecond)}},
	},
	"cpu.burst": {
		{CPU: spec.CPU{Max: spec.NewCores(500_000), Burst: spec.Duration(10 * time.Millisecond)}},
		{CPU: spec.CPU{Max: spec.NewCores(100_000), Burst: spec.Duration(5 * time.Millisecond)}},
	},
	"cpu.shares":     {{CPU: spec.CPU{Shares: 512}}, {CPU: spec.CPU{Shares: 2}}},
	"cpu.idle":       {{CPU: spec.CPU{Idle: true}}, {CPU: spec.CPU{Idle: true}}},
	"cpu.uclampMin":  {{CPU: spec.CPU{UclampMin: "12.5"}}, {CPU: spec.CPU{UclampMin: "20"}}},
	"cpu.uclampMax":  {{CPU: spec.CPU{UclampMax: "80"}}, {CPU: spec.CPU{UclampMax: "max"}}},
	"cpu.rtRuntime":  {{CPU: spec.CPU{RTRuntime: spec.Duration(2 * time.Millisecond)}}, {CPU: spec.CPU{RTRuntime: spec.Duration(time.Millisecond)}}},
	"cpu.rtPeriod":   {{CPU: spec.CPU{RTPeriod: spec.Duration(500 * time.Millisecond)}}, {CPU: spec.CPU{RTPeriod: spec.Duration(2 * time.Second)}}},
	"cpu.max":        {{CPU: spec.CPU{Max: spec.NewCores(1_500_000)}}, {CPU: spec.CPU{Max: spec.NewCores(1_234)}}},
	"cpu.weight":     {{CPU: spec.CPU{Weight: 250}}, {CPU: spec.CPU{Weight: 1}}},
	"pids.max":       {{Pids: spec.Pids{Max: spec.NewLimit(50)}}, {Pids: spec.Pids{Max: spec.NewLimit(0)}}},
	"cpuset.cpus":    {{Cpuset: spec.Cpuset{Cpus: "0"}}, {Cpuset: spec.Cpuset{Cpus: "0,0-0"}}},
	"cpuset.mems":    {{Cpuset: spec.Cpuset{Mems: "0"}}, {Cpuset: spec.Cpuset{Mems: "0-0"}}},
	"io.weight":      {{IO: spec.IO{Weight: 200}}, {IO: spec.IO{Weight: 10000}}},
	"io.blkioWeight": {{IO: spec.IO{BlkioWeight: 500}}, {IO: spec.IO{BlkioWeight: 1000}}},
	"io.max": {
		{IO: spec.IO{Max: map[string]spec.IOMax{disk: {RBPS: spec.NewLimit(mebi), WIOPS: spec.NewLimit(100)}}}},
		{IO: spec.IO{Max: map[string]spec.IOMax{disk: {WBPS: spec.NewLimit(2 * mebi), RBPS: spec.MaxLimit()}}}},
	},
	"io.deviceWeights": {{IO: spec.IO{DeviceWeights: map[string]uint64{disk: 200}}}, {IO: spec.IO{DeviceWeights: map[string]uint64{disk: 50}}}},
	"io.latency": {
		{IO: spec.IO{Latency: map[string]spec.Duration{disk: spec.Duration(75 * time.Millisecond)}}},
		{IO: spec.IO{Latency: map[string]spec.Duration{disk: spec.Duration(time.Second)}}},
	},
	"hugetlb.max": {
		{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(5 * mebi)}}},
		{Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(0), "1GB": spec.MaxLimit()}}},
	},
	"hugetlb.rsvd": {
		{Hugetlb: spec.Hugetlb{Rsvd: map[string]spec.Limit{"2MB": spec.NewLimit(4 * mebi)}}},
		{Hugetlb: spec.Hugetlb{Rsvd: map[string]spec.Limit{"2MB": spec.MaxLimit(), "1GB": spec.NewLimit(1 << 30)}}},
	},
	"rdma.max": {
		{RDMA: spec.RDMA{Max: map[string]spec.RDMAMax{"mlx4_0": {HCAHandle: spec.NewLimit(2)}}}},
		{RDMA: spec.RDMA{Max: map[string]spec.RDMAMax{"mlx4_0": {HCAObject: spec.NewLimit(200)}}}},
	},
	"misc.max":          {{Misc: spec.Misc{Max: map[string]spec.Limit{"sev": spec.NewLimit(2)}}}, {Misc: spec.Misc{Max: map[string]spec.Limit{"sev": spec.MaxLimit()}}}},
	"netCls.classid":    {{NetCls: spec.NetCls{ClassID: 1048577}}, {NetCls: spec.NetCls{ClassID: 1048578}}},
	"netPrio.ifpriomap": {{NetPrio: spec.NetPrio{IfPrioMap: map[string]uint64{"lo": 5}}}, {NetPrio: spec.NetPrio{IfPrioMap: map[string]uint64{"lo": 7}}}},
}

// disk is the first disk of this machine.
var disk = func() string {
	all, _ := os.ReadDir("/sys/block")
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), "loop") && !strings.HasPrefix(e.Name(), "ram") {
			number, _ := os.ReadFile("/sys/block/" + e.Name() + "/dev")
			return strings.TrimSpace(string(number))
		}
	}
	return "7:0"
}()
