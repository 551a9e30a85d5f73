package spec

// Resources are the limits of a container. Each leaf is one row of the table in pkg/linux/cgroup:
// the same value goes from the manifest to the kernel file. Compare with Equal.
type Resources struct {
	// Memory limits memory and swap.
	Memory Memory `json:"memory,omitzero" class:"live"`
	// CPU limits and shares processor time.
	CPU CPU `json:"cpu,omitzero" class:"live"`
	// Pids limits tasks.
	Pids Pids `json:"pids,omitzero" class:"live"`
	// Cpuset pins the container to processors and memory nodes.
	Cpuset Cpuset `json:"cpuset,omitzero" class:"live"`
	// IO limits and shares the bandwidth of disks.
	IO IO `json:"io,omitzero" class:"live"`
	// Hugetlb limits huge pages.
	Hugetlb Hugetlb `json:"hugetlb,omitzero" class:"live"`
	// RDMA limits what is taken of RDMA devices.
	RDMA RDMA `json:"rdma,omitzero" class:"live"`
	// Misc limits resources that are counted and nothing else.
	Misc Misc `json:"misc,omitzero" class:"live"`
	// NetCls marks packets with a class.
	NetCls NetCls `json:"netCls,omitzero" class:"live"`
	// NetPrio gives packets a priority.
	NetPrio NetPrio `json:"netPrio,omitzero" class:"live"`
	// Unified are raw files of the container's cgroup by name, for what has no word here: memory.swap.high, cpuset.cpus.partition. Written after all other limits; a file that leaves the manifest gets back what it held before. On cgroup v1 a file is that of its controller's hierarchy.
	Unified map[string]string `json:"unified,omitzero" class:"live" keys:"cgroupFile" format:"cgroupText"`
}

// Memory limits memory, in bytes with Ki, Mi, Gi (or k, M, G) suffixes, or max.
type Memory struct {
	// Max is the hard limit; beyond it the kernel kills inside the container. Kernel file memory.max.
	Max Limit `json:"max,omitzero" class:"live" unit:"bytes" min:"1"`
	// High is the throttling limit: above it the container is slowed and reclaimed, never killed. Only on cgroup v2. Kernel file memory.high.
	High Limit `json:"high,omitzero" class:"live" unit:"bytes" min:"1"`
	// Low is protected from reclaim while others have more to give. Kernel file memory.low.
	Low Limit `json:"low,omitzero" class:"live" unit:"bytes"`
	// Min is protected from reclaim whatever happens. Only on cgroup v2. Kernel file memory.min.
	Min Limit `json:"min,omitzero" class:"live" unit:"bytes"`
	// Swap is how much may be swapped out, beside memory. Kernel file memory.swap.max.
	Swap Limit `json:"swap,omitzero" class:"live" unit:"bytes"`
	// Zswap is how much may be kept compressed in memory instead of being swapped out. Only on cgroup v2. Kernel file memory.zswap.max.
	Zswap Limit `json:"zswap,omitzero" class:"live" unit:"bytes"`
	// OOMGroup makes the kernel kill the whole container when it kills in it. Only on cgroup v2. Kernel file memory.oom.group.
	OOMGroup bool `json:"oomGroup,omitzero" class:"live"`
	// OOMKillDisable makes processes wait for memory, perhaps for ever, instead of being killed. Only on cgroup v1. Kernel file memory.oom_control.
	OOMKillDisable bool `json:"oomKillDisable,omitzero" class:"live"`
	// Swappiness is how readily the kernel swaps out, 0 to 200. Only on cgroup v1. Kernel file memory.swappiness.
	Swappiness Number `json:"swappiness,omitzero" class:"live" min:"0" max:"200"`
}

// CPU limits and shares processor time.
type CPU struct {
	// Max is how many processors the container may use at most, as a decimal string ("1.5", "500m") or max. Kernel file cpu.max.
	Max Cores `json:"max,omitzero" class:"live" min:"1m"`
	// Period is the time over which max is measured, 1ms to 1s. Kernel default 100ms. Kernel file cpu.max.
	Period Duration `json:"period,omitzero" class:"live" min:"1ms" max:"1s"`
	// Burst is the unused time of earlier periods that may be used on top of max. Kernel file cpu.max.burst.
	Burst Duration `json:"burst,omitzero" class:"live" min:"1us"`
	// Weight is the share under contention, 1 to 10000. Kernel default 100. Kernel file cpu.weight.
	Weight uint64 `json:"weight,omitzero" class:"live" min:"1" max:"10000"`
	// Shares is the weight in the words of cgroup v1, 2 to 262144, 1024 being the kernel's default. On v2 it becomes the weight with the same meaning. Kernel file cpu.shares.
	Shares uint64 `json:"shares,omitzero" class:"live" min:"2" max:"262144"`
	// Idle makes the container run only when nothing else wants the processor; it has no weight then. Kernel file cpu.idle.
	Idle bool `json:"idle,omitzero" class:"live"`
	// UclampMin is the least utilization in percent the scheduler assumes, for the choice of frequency and processor: "20", "12.5" or max. Kernel file cpu.uclamp.min.
	UclampMin string `json:"uclampMin,omitzero" class:"live" format:"percent"`
	// UclampMax is the greatest utilization in percent the scheduler assumes. Kernel file cpu.uclamp.max.
	UclampMax string `json:"uclampMax,omitzero" class:"live" format:"percent"`
	// RTRuntime is the time in each rtPeriod that real-time processes may run. Only on cgroup v1. Kernel file cpu.rt_runtime_us.
	RTRuntime Duration `json:"rtRuntime,omitzero" class:"live" min:"1us"`
	// RTPeriod is the period of rtRuntime. Kernel default 1s. Only on cgroup v1. Kernel file cpu.rt_period_us.
	RTPeriod Duration `json:"rtPeriod,omitzero" class:"live" min:"1us"`
}

// Pids limits the number of tasks (processes and threads).
type Pids struct {
	// Max is the number of tasks, or max. Kernel file pids.max.
	Max Limit `json:"max,omitzero" class:"live" min:"1" max:"4194304"`
}

// Cpuset pins a container, as lists such as "0-3,8".
type Cpuset struct {
	// Cpus are the processors. Kernel file cpuset.cpus.
	Cpus string `json:"cpus,omitzero" class:"live" format:"cpuList"`
	// Mems are the memory nodes. Kernel file cpuset.mems.
	Mems string `json:"mems,omitzero" class:"live" format:"cpuList"`
}
