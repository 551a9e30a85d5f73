package cgroup

import "slices"

// controller is one that this package uses.
type controller struct {
	name string // v2's
	v1   string // v1's; "" when v1 has none
	v2   bool   // whether v2 has one
	// optional are those that few containers say a limit of: a group gets into them with its first limit. A hierarchy costs a
	// start about 40 us.
	optional bool
}

// controllers are all of them, in the order they are enabled and entered. v2 counts processor time without cpuacct and
// has device programs in place of devices.
var controllers = []controller{
	{"cpu", "cpu", true, false},
	{"cpuset", "cpuset", true, true},
	{"memory", "memory", true, false},
	{"pids", "pids", true, false},
	{"io", "blkio", true, false},
	{"hugetlb", "hugetlb", true, true},
	{"rdma", "rdma", true, true},
	{"misc", "misc", true, true},
	{"net_cls", "net_cls", false, true},
	{"net_prio", "net_prio", false, true},
	{"devices", "devices", false, true},
	{"cpuacct", "cpuacct", false, true},
	{"freezer", "freezer", false, true},
	{"perf_event", "perf_event", false, true},
}

// controllerOf is the controller with a name, of v2 or of v1.
func controllerOf(name string) (controller, bool) {
	i := slices.IndexFunc(controllers, func(c controller) bool { return c.name == name || c.v1 == name })
	if i < 0 {
		return controller{}, false
	}
	return controllers[i], true
}
