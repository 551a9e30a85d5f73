package generated

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// devices are nodes of harmless devices, and rules for them and others.
func (s *sample) devices() {
	d, l := s.dice, s.config.Linux
	for _, dev := range some(d, 25,
		specs.LinuxDevice{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229},
		specs.LinuxDevice{Path: "/dev/mine", Type: "c", Major: 1, Minor: 3},
		specs.LinuxDevice{Path: "/dev/sub/full", Type: "c", Major: 1, Minor: 7},
		specs.LinuxDevice{Path: "/dev/pipe", Type: "p"},
		specs.LinuxDevice{Path: "/data/zero", Type: "c", Major: 1, Minor: 5},
		specs.LinuxDevice{Path: "/dev/unbuffered", Type: "u", Major: 1, Minor: 5},
		specs.LinuxDevice{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	) {
		if _, err := os.Stat(dev.Path); s.ownUser && err != nil {
			continue // runc takes what the node has there
		}
		if d.percent(70) {
			mode := os.FileMode(pick(d, 0o600, 0o666, 0o640, 0o777))
			dev.FileMode = &mode
		}
		if d.percent(50) {
			uid, gid := uint32(pick(d, 0, 1000)), uint32(pick(d, 0, 5))
			dev.UID, dev.GID = &uid, &gid
		}
		l.Devices = append(l.Devices, dev)
		s.orders.Paths = append(s.orders.Paths, dev.Path)
	}
	l.Resources = &specs.LinuxResources{}
	l.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: d.percent(20), Access: "rwm"}} // others are added to it
	number := func(n int64) *int64 { return &n }
	rule := func(allow bool, kind string, major, minor int64, access string) {
		l.Resources.Devices = append(l.Resources.Devices, specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: number(major), Minor: number(minor), Access: access})
	}
	for _, r := range some(d, 30, [2]int64{10, 229}, [2]int64{1, 7}, [2]int64{1, -1}, [2]int64{-1, 229}, [2]int64{5, 2}, [2]int64{136, -1}) {
		rule(true, "c", r[0], r[1], pick(d, "r", "w", "m", "rw", "rm", "rwm", "mrw"))
	}
	for _, dev := range l.Devices {
		if dev.Path == "/dev/zero" { // a default device that is said loses its default rule with runc
			rule(true, "c", 1, 5, "rwm")
		}
	}
	for _, r := range some(d, 20, [2]int64{7, 0}, [2]int64{s.disk[0], s.disk[1]}) { // v1 takes no hole in a wildcard
		rule(false, "b", r[0], r[1], pick(d, "r", "rw", "rwm"))
	}
}

// sysctls are parameters of namespaces that the container has to itself.
func (s *sample) sysctls() {
	d, l := s.dice, s.config.Linux
	set := func(own bool, names ...[2]string) {
		for _, n := range names {
			s.orders.Sysctls = append(s.orders.Sysctls, n[0])
			if own && d.percent(30) {
				if l.Sysctl == nil {
					l.Sysctl = map[string]string{}
				}
				l.Sysctl[n[0]] = n[1]
			}
		}
	}
	set(s.ownNet, [2]string{"net.ipv4.ip_forward", "1"}, [2]string{"net.core.somaxconn", fmt.Sprint(d.between(100, 5000))}, [2]string{"net.ipv4.ping_group_range", "0 1000"},
		[2]string{"net.ipv4.ip_unprivileged_port_start", fmt.Sprint(d.between(0, 1024))}, [2]string{"net.ipv4.conf.all.rp_filter", "2"})
	set(s.ownIPC, [2]string{"kernel.shmmax", fmt.Sprint(d.between(1<<20, 1<<30))}, [2]string{"kernel.msgmax", fmt.Sprint(d.between(1000, 8000))},
		[2]string{"kernel.sem", "250 32000 32 64"}, [2]string{"fs.mqueue.msg_max", fmt.Sprint(d.between(5, 20))}, [2]string{"kernel.shm_rmid_forced", "1"})
	set(s.ownUTS && !s.ownUser, [2]string{"kernel.domainname", "example.org"})
}

// resources are limits that the program inside can live with.
func (s *sample) resources() {
	d, r := s.dice, s.config.Linux.Resources
	if d.percent(50) && s.machine.limits("memory") {
		limit := int64(d.between(48<<20, 512<<20))
		r.Memory = &specs.LinuxMemory{Limit: &limit}
		if d.percent(40) {
			swap := limit + int64(pick(d, 0, d.between(0, 256<<20)))
			r.Memory.Swap = &swap
		}
		if d.percent(40) {
			low := limit / int64(d.between(1, 4))
			r.Memory.Reservation = &low
		}
		if d.percent(20) && s.has("memory", "memory.swappiness") {
			n := uint64(d.between(0, 100))
			r.Memory.Swappiness = &n
		}
		if d.percent(10) {
			no := d.percent(50)
			r.Memory.DisableOOMKiller = &no
		}
	}
	s.processor()
	if d.percent(40) && s.machine.limits("pids") {
		limit := int64(pick(d, -1, 0, d.between(64, 5000)))
		r.Pids = &specs.LinuxPids{Limit: &limit}
	}
	s.blockIO()
	if d.percent(30) && s.machine.limits("hugetlb") && !s.onV2("hugetlb") {
		for _, size := range s.hugepages {
			r.HugepageLimits = append(r.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: size, Limit: uint64(d.between(0, 3)) << 30})
		}
	}
	if _, ok := s.tree.V1["net_cls"]; ok && d.percent(30) {
		n := uint32(0x100000 + d.between(1, 1000))
		r.Network = &specs.LinuxNetwork{ClassID: &n}
	}
	if len(s.tree.V1) == 0 && d.percent(30) {
		r.Unified = map[string]string{"pids.max": fmt.Sprint(d.between(64, 5000)), "cgroup.max.depth": "5"}
	}
}

// onV2 tells whether a controller is one of v2 beside others of v1: there runc limits nothing with it.
func (s *sample) onV2(controller string) bool {
	_, ok := s.tree.V1[controller]
	return !ok
}

func (s *sample) processor() {
	d, r := s.dice, s.config.Linux.Resources
	if !d.percent(60) || !s.machine.limits("cpu") {
		return
	}
	r.CPU = &specs.LinuxCPU{}
	if d.percent(50) {
		n := uint64(pick(d, 2, 512, 1024, d.between(2, 262144)))
		r.CPU.Shares = &n
	}
	if d.percent(50) {
		period := uint64(pick(d, 100_000, 50_000, d.between(1000, 1_000_000)))
		quota := int64(d.between(int(max(period/5, 1000)), int(period*4)))
		r.CPU.Quota = &quota
		if period != 100_000 || d.percent(50) {
			r.CPU.Period = &period
		}
	}
	if d.percent(40) && s.machine.limits("cpuset") {
		r.CPU.Cpus = pick(d, s.cpus...)
	}
	if d.percent(30) && s.machine.limits("cpuset") {
		r.CPU.Mems = "0"
	}
}

func (s *sample) blockIO() {
	d, r := s.dice, s.config.Linux.Resources
	if !d.percent(40) || s.disk == [2]int64{} || !s.machine.limits("blkio") && !s.machine.limits("io") {
		return
	}
	r.BlockIO = &specs.LinuxBlockIO{}
	if s.weighs && d.percent(50) {
		n := uint16(d.between(10, 1000))
		r.BlockIO.Weight = &n
	}
	for _, list := range some(d, 50, &r.BlockIO.ThrottleReadBpsDevice, &r.BlockIO.ThrottleWriteBpsDevice, &r.BlockIO.ThrottleReadIOPSDevice, &r.BlockIO.ThrottleWriteIOPSDevice) {
		device := specs.LinuxThrottleDevice{Rate: uint64(d.between(10_000, 1<<30))}
		device.Major, device.Minor = s.disk[0], s.disk[1]
		*list = append(*list, device)
	}
}
