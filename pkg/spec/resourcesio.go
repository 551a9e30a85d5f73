package spec

// IO limits and shares the bandwidth of disks. A disk is named by its path (/dev/vda) or its numbers (254:0); partitions have no limits of
// their own.
type IO struct {
	// Weight is the share under contention, 1 to 10000. Kernel default 100. BFQ's own weights end at 1000 and get what is the same share. Kernel file io.weight.
	Weight uint64 `json:"weight,omitzero" class:"live" min:"1" max:"10000"`
	// BlkioWeight is the weight in the words of cgroup v1, 10 to 1000; io.weight gets it spread over its own range.
	BlkioWeight uint64 `json:"blkioWeight,omitzero" class:"live" min:"10" max:"1000"`
	// DeviceWeights are weights for single disks.
	DeviceWeights map[string]uint64 `json:"deviceWeights,omitzero" class:"live" keys:"disk" min:"1" max:"10000"`
	// Max are the limits of single disks; blkio.throttle on v1. Kernel file io.max.
	Max map[string]IOMax `json:"max,omitzero" class:"live" keys:"disk"`
	// Latency are the latencies to protect for single disks, by slowing others with a longer one. Only on cgroup v2. Kernel file io.latency.
	Latency map[string]Duration `json:"latency,omitzero" class:"live" keys:"disk" min:"1us"`
}

// IOMax limits the use of one disk; what is not said has no limit.
type IOMax struct {
	// RBPS is bytes read in a second, or max.
	RBPS Limit `json:"rbps,omitzero" class:"live" unit:"bytes" min:"1"`
	// WBPS is bytes written in a second, or max.
	WBPS Limit `json:"wbps,omitzero" class:"live" unit:"bytes" min:"1"`
	// RIOPS is reads in a second, or max.
	RIOPS Limit `json:"riops,omitzero" class:"live" min:"1"`
	// WIOPS is writes in a second, or max.
	WIOPS Limit `json:"wiops,omitzero" class:"live" min:"1"`
}

// Hugetlb limits huge pages by their size as the kernel writes it: 2MB, 1GB.
type Hugetlb struct {
	// Max is how many bytes of huge pages may be used. Kernel files hugetlb.SIZE.max.
	Max map[string]Limit `json:"max,omitzero" class:"live" keys:"hugePage" unit:"bytes"`
	// Rsvd is how many bytes of huge pages may be reserved, at the time of mmap. Kernel files hugetlb.SIZE.rsvd.max.
	Rsvd map[string]Limit `json:"rsvd,omitzero" class:"live" keys:"hugePage" unit:"bytes"`
}

// RDMA limits what is taken of RDMA devices.
type RDMA struct {
	// Max are the limits by device, such as mlx4_0. Kernel file rdma.max.
	Max map[string]RDMAMax `json:"max,omitzero" class:"live" keys:"word"`
}

// RDMAMax limits what is taken of one RDMA device; what is not said has no limit.
type RDMAMax struct {
	// HCAHandle is the number of handles, or max.
	HCAHandle Limit `json:"hcaHandle,omitzero" class:"live" max:"2147483647"`
	// HCAObject is the number of objects, or max.
	HCAObject Limit `json:"hcaObject,omitzero" class:"live" max:"2147483647"`
}

// Misc limits resources that are counted and nothing else, such as keys for encrypted memory.
type Misc struct {
	// Max are the limits by resource, such as sev. Kernel file misc.max.
	Max map[string]Limit `json:"max,omitzero" class:"live" keys:"word"`
}

// NetCls marks packets, for tc(8) and nftables.
type NetCls struct {
	// ClassID is the class of the container's packets, as one number. Only on cgroup v1. Kernel file net_cls.classid.
	ClassID uint64 `json:"classid,omitzero" class:"live" min:"1" max:"4294967295"`
}

// NetPrio gives packets a priority.
type NetPrio struct {
	// IfPrioMap is the priority of the container's packets by interface of the node. Only on cgroup v1. Kernel file net_prio.ifpriomap.
	IfPrioMap map[string]uint64 `json:"ifpriomap,omitzero" class:"live" keys:"word" max:"4294967295"`
}
