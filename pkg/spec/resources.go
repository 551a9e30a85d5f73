package spec

// Resources are the limits of a container. Each leaf is one row of the table in pkg/linux/cgroup:
// the same value goes from the manifest to the kernel file. Comparable with ==.
type Resources struct {
	// Memory limits memory and swap.
	Memory Memory `json:"memory,omitzero" class:"live"`
	// CPU limits and shares processor time.
	CPU CPU `json:"cpu,omitzero" class:"live"`
	// Pids limits tasks.
	Pids Pids `json:"pids,omitzero" class:"live"`
	// Cpuset pins the container to processors and memory nodes.
	Cpuset Cpuset `json:"cpuset,omitzero" class:"live"`
}

// Memory limits memory, in bytes with Ki, Mi, Gi (or k, M, G) suffixes, or max.
type Memory struct {
	// Max is the hard limit; beyond it the kernel kills inside the container. Kernel file memory.max.
	Max Limit `json:"max,omitzero" class:"live" unit:"bytes" min:"1"`
	// High is the throttling limit: above it the container is slowed and reclaimed, never killed. Kernel file memory.high.
	High Limit `json:"high,omitzero" class:"live" unit:"bytes" min:"1"`
	// Low is protected from reclaim while others have more to give. Kernel file memory.low.
	Low Limit `json:"low,omitzero" class:"live" unit:"bytes"`
	// Swap is how much may be swapped out, beside memory. Kernel file memory.swap.max.
	Swap Limit `json:"swap,omitzero" class:"live" unit:"bytes"`
}

// CPU limits and shares processor time.
type CPU struct {
	// Max is how many processors the container may use at most, as a decimal string ("1.5", "500m") or max. Kernel file cpu.max.
	Max Cores `json:"max,omitzero" class:"live" min:"1m"`
	// Weight is the share under contention, 1 to 10000. Kernel default 100. Kernel file cpu.weight.
	Weight uint64 `json:"weight,omitzero" class:"live" min:"1" max:"10000"`
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
