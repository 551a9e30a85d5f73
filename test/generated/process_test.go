package generated

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (s *sample) process() {
	d, p := s.dice, s.config.Process
	p.User.UID, p.User.GID = uint32(pick(d, 0, 0, 0, 1, 1000, 4242, 65534)), uint32(pick(d, 0, 0, 1, 100, 1000, 65533))
	for range pick(d, 0, 0, 1, 3, 20) {
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(d.between(0, 60000)))
	}
	if d.percent(40) {
		mask := uint32(pick(d, 0, 0o022, 0o077, 0o027, 0o777))
		p.User.Umask = &mask
	}
	p.Env = some(d, 60, "PATH=/usr/bin:/:/bin", "TERM=xterm", "EMPTY=", "WITH=equals=signs", "TWICE=1", "TWICE=2", "UMLAUT=ä ö", "LINES=a\nb")
	if d.percent(20) {
		p.Env = append(p.Env, "HOME=/somewhere")
	}
	p.Env = shuffled(d, p.Env)
	p.Cwd = pick(d, "/", "/", "/tmp", "/data", "/new/directory", "/link")
	p.NoNewPrivileges = d.percent(50)
	s.capabilities()
	s.rlimits()
	if d.percent(40) {
		adj := min(s.oomScoreAdj+d.between(0, 500), 1000)
		p.OOMScoreAdj = &adj
	}
	p.Args = []string{"/probe", ""}
	if slices.Contains(p.Env, "PATH=/usr/bin:/:/bin") && d.percent(30) {
		p.Args[0] = "probe"
	}
	p.Args = append(p.Args, some(d, 30, "plain", "with blanks", "", "$HOME", "ö")...)
}

// capabilities are sets that the kernel takes: each within what it has to be within.
func (s *sample) capabilities() {
	d := s.dice
	if d.percent(10) {
		return
	}
	bounding := some(d, pick(d, 10, 50, 100), s.machine.capabilities...)
	permitted := some(d, pick(d, 50, 100), bounding...)
	inheritable := some(d, pick(d, 0, 0, 50, 100), permitted...)
	c := &specs.LinuxCapabilities{
		Bounding: bounding, Permitted: permitted, Inheritable: inheritable,
		Effective: some(d, pick(d, 50, 100), permitted...), Ambient: some(d, pick(d, 0, 50, 100), inheritable...),
	}
	if d.percent(10) {
		c.Bounding = append(c.Bounding, "CAP_UNKNOWN")
	}
	s.config.Process.Capabilities = c
}

// rlimits are those that a program in Go survives, with how low they may be.
var rlimits = map[int]struct {
	name string
	low  uint64
}{
	unix.RLIMIT_CORE: {"CORE", 0}, unix.RLIMIT_CPU: {"CPU", 60}, unix.RLIMIT_FSIZE: {"FSIZE", 1 << 20}, unix.RLIMIT_LOCKS: {"LOCKS", 0}, unix.RLIMIT_MEMLOCK: {"MEMLOCK", 0},
	unix.RLIMIT_MSGQUEUE: {"MSGQUEUE", 0}, unix.RLIMIT_NOFILE: {"NOFILE", 64}, unix.RLIMIT_RSS: {"RSS", 0}, unix.RLIMIT_RTTIME: {"RTTIME", 1 << 30},
	unix.RLIMIT_SIGPENDING: {"SIGPENDING", 16}, unix.RLIMIT_STACK: {"STACK", 1 << 20}, unix.RLIMIT_DATA: {"DATA", 1 << 30}, unix.RLIMIT_AS: {"AS", 8 << 30},
}

func (s *sample) rlimits() {
	d := s.dice
	if d.percent(30) {
		return
	}
	for i := range s.hard {
		r, ok := rlimits[i]
		if !ok || !d.percent(25) {
			continue
		}
		most := s.hard[i].Max
		between := func(lo, hi uint64) uint64 {
			if hi == unix.RLIM_INFINITY && d.percent(20) {
				return hi
			}
			return lo + d.Uint64N(min(hi, lo+1<<32)-lo+1)
		}
		hard := between(min(r.low, most), most)
		soft := between(min(r.low, most), hard)
		s.config.Process.Rlimits = append(s.config.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_" + r.name, Soft: soft, Hard: hard})
	}
}

func (s *sample) root() {
	d, c := s.dice, s.config
	c.Root = &specs.Root{Path: "rootfs", Readonly: d.percent(30)}
	c.Linux.RootfsPropagation = pick(d, "", "", "", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable")
	if s.ownUTS && d.percent(60) {
		c.Hostname = pick(d, "web", "a.long.name.of-a-host", strings.Repeat("h", 64))
	}
	if d.percent(30) {
		c.Annotations = map[string]string{"org.example.key": fmt.Sprint(d.IntN(100)), "empty": ""}
	}
}

// namespaces: each is new, the node's, or at times another's.
func (s *sample) namespaces() {
	d, l := s.dice, s.config.Linux
	add := func(kind specs.LinuxNamespaceType, path string) {
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
	add(specs.MountNamespace, "")
	if s.ownUser = d.percent(20); s.ownUser {
		add(specs.UserNamespace, "")
		s.maps()
	}
	chance := 80
	if s.ownUser {
		chance = 100 // mqueue, sysfs and others are mounted by who owns the namespace
	}
	for _, k := range []struct {
		kind specs.LinuxNamespaceType
		own  *bool
	}{{specs.NetworkNamespace, &s.ownNet}, {specs.IPCNamespace, &s.ownIPC}, {specs.UTSNamespace, &s.ownUTS}} {
		switch {
		case d.percent(chance):
			*k.own = true
			add(k.kind, "")
		case d.percent(50):
			i := slices.IndexFunc(s.joinable, func(j joining) bool { return j.kind == string(k.kind) })
			add(k.kind, s.joinable[i].path)
		}
	}
	if s.ownPID = d.percent(chance); s.ownPID {
		add(specs.PIDNamespace, "")
	}
	if d.percent(50) {
		add(specs.CgroupNamespace, "")
	}
	l.Namespaces = shuffled(d, l.Namespaces)
}

// maps give all ids that are used, in one or two ranges.
func (s *sample) maps() {
	first := uint32(s.dice.between(100_000, 200_000))
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: first, Size: 65536}}
	if s.dice.percent(30) {
		m = []specs.LinuxIDMapping{{ContainerID: 0, HostID: first, Size: 5000}, {ContainerID: 5000, HostID: first + 100_000, Size: 60536}}
	}
	s.config.Linux.UIDMappings, s.config.Linux.GIDMappings = m, slices.Clone(m)
}
