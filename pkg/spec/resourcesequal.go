package spec

import "maps"

// Equal tells whether two containers have the same limits.
func (r Resources) Equal(other Resources) bool {
	return r.Memory == other.Memory && r.CPU == other.CPU && r.Pids == other.Pids && r.Cpuset == other.Cpuset &&
		r.IO.equal(other.IO) &&
		maps.Equal(r.Hugetlb.Max, other.Hugetlb.Max) && maps.Equal(r.Hugetlb.Rsvd, other.Hugetlb.Rsvd) &&
		maps.Equal(r.RDMA.Max, other.RDMA.Max) && maps.Equal(r.Misc.Max, other.Misc.Max) &&
		r.NetCls == other.NetCls && maps.Equal(r.NetPrio.IfPrioMap, other.NetPrio.IfPrioMap) &&
		maps.Equal(r.Unified, other.Unified)
}

func (i IO) equal(other IO) bool {
	return i.Weight == other.Weight && i.BlkioWeight == other.BlkioWeight && maps.Equal(i.DeviceWeights, other.DeviceWeights) &&
		maps.Equal(i.Max, other.Max) && maps.Equal(i.Latency, other.Latency)
}

// IsZero tells whether no limit is said.
func (r Resources) IsZero() bool { return r.Equal(Resources{}) }
