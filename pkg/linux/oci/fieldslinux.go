package oci

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// linuxFields are those of linux, but for resources and seccomp.
var linuxFields = []Field{
	{"linux.namespaces", "namespaces, network.mode", namespaces},
	{"linux.namespaces[].type", "namespaces", nil},
	{"linux.namespaces[].path", "namespaces", nil},
	{"linux.uidMappings", "namespaces.user.uidMappings", func(t *translator) error {
		t.s.Namespaces.User.UIDMappings = idMappings(t.config.Linux.UIDMappings)
		return t.joined()
	}},
	{"linux.uidMappings[].containerID", "namespaces.user.uidMappings.containerID", nil},
	{"linux.uidMappings[].hostID", "namespaces.user.uidMappings.hostID", nil},
	{"linux.uidMappings[].size", "namespaces.user.uidMappings.size", nil},
	{"linux.gidMappings", "namespaces.user.gidMappings", func(t *translator) error {
		t.s.Namespaces.User.GIDMappings = idMappings(t.config.Linux.GIDMappings)
		return t.joined()
	}},
	{"linux.gidMappings[].containerID", "namespaces.user.gidMappings.containerID", nil},
	{"linux.gidMappings[].hostID", "namespaces.user.gidMappings.hostID", nil},
	{"linux.gidMappings[].size", "namespaces.user.gidMappings.size", nil},
	{"linux.timeOffsets", "namespaces.time", timeOffsets},
	{"linux.timeOffsets[].secs", "namespaces.time", nil},
	{"linux.timeOffsets[].nanosecs", "namespaces.time", nil},
	{"linux.devices", "devices", nodes},
	{"linux.devices[].path", "devices.path", nil},
	{"linux.devices[].type", "devices.type", nil},
	{"linux.devices[].major", "devices.major", nil},
	{"linux.devices[].minor", "devices.minor", nil},
	{"linux.devices[].fileMode", "devices.mode", nil},
	{"linux.devices[].uid", "devices.uid", nil},
	{"linux.devices[].gid", "devices.gid", nil},
	{"linux.cgroupsPath", "(the cgroup)", func(t *translator) error { t.out.CgroupsPath = t.config.Linux.CgroupsPath; return nil }},
	{"linux.sysctl", "sysctls", sysctls},
	{"linux.rootfsPropagation", "rootfs.propagation", func(t *translator) error {
		t.s.Rootfs.Propagation = spec.Propagation(t.config.Linux.RootfsPropagation)
		if t.s.Rootfs.Propagation != "" && !slices.Contains(spec.Propagations, t.s.Rootfs.Propagation) {
			return invalid("%q is unknown", t.config.Linux.RootfsPropagation)
		}
		return nil
	}},
	{"linux.maskedPaths", "security.maskedPaths", func(t *translator) error { return paths(&t.s.Security.MaskedPaths, t.config.Linux.MaskedPaths) }},
	{"linux.readonlyPaths", "security.readonlyPaths", func(t *translator) error { return paths(&t.s.Security.ReadonlyPaths, t.config.Linux.ReadonlyPaths) }},
	{"linux.mountLabel", "security.selinux.mountLabel", func(t *translator) error {
		t.s.Security.SELinux.MountLabel = t.config.Linux.MountLabel
		return nil
	}},
	{"linux.memoryPolicy", "memoryPolicy", memoryPolicy},
	{"linux.memoryPolicy.mode", "memoryPolicy.mode", nil},
	{"linux.memoryPolicy.nodes", "memoryPolicy.nodes", nil},
	{"linux.memoryPolicy.flags", "memoryPolicy.flags", nil},
	{"linux.personality", "personality", func(t *translator) error {
		if p := t.config.Linux.Personality; p != nil {
			t.s.Personality.Domain = spec.PersonalityDomain(p.Domain)
			for _, flag := range p.Flags {
				t.s.Personality.Flags = append(t.s.Personality.Flags, string(flag))
			}
		}
		return nil
	}},
	{"linux.personality.domain", "personality.domain", nil},
	{"linux.personality.flags", "personality.flags", nil},
	{"linux.intelRdt", "(refused)", func(t *translator) error { return refuse("linux.intelRdt", t.config.Linux.IntelRdt != nil) }},
	{"linux.netDevices", "(refused)", func(t *translator) error { return refuse("linux.netDevices", len(t.config.Linux.NetDevices) > 0) }},
	{"vm", "(refused)", func(t *translator) error { return refuse("vm", t.config.VM != nil) }},
}

func refuse(field string, said bool) error {
	if said {
		return unsupported("it cannot be had: %s", Refused[field])
	}
	return nil
}

// namespaceWords are where the words of each type go, but for mount and time.
func (t *translator) namespaceWords() map[specs.LinuxNamespaceType]*string {
	n := &t.s.Namespaces
	return map[specs.LinuxNamespaceType]*string{
		specs.PIDNamespace: &n.PID, specs.IPCNamespace: &n.IPC, specs.UTSNamespace: &n.UTS, specs.CgroupNamespace: &n.Cgroup,
		specs.NetworkNamespace: &t.s.Network.Join, specs.UserNamespace: &n.User.Join, specs.TimeNamespace: &t.out.TimePath, specs.MountNamespace: new(string),
	}
}

// namespaces: one that is not in the list is the node's, one without a path is new.
func namespaces(t *translator) error {
	words, seen := t.namespaceWords(), map[specs.LinuxNamespaceType]bool{}
	for _, n := range t.config.Linux.Namespaces {
		word, ok := words[n.Type]
		switch {
		case !ok:
			return invalid("type %q is unknown", n.Type)
		case seen[n.Type]:
			return invalid("%s is said twice", n.Type)
		case n.Path != "" && !strings.HasPrefix(n.Path, "/"):
			return invalid("the path %q of %s is not absolute", n.Path, n.Type)
		case n.Path != "" && n.Type == specs.MountNamespace:
			return unsupported("a mount namespace cannot be joined")
		}
		*word, seen[n.Type] = n.Path, true
	}
	if !seen[specs.MountNamespace] {
		return unsupported("a container without a mount namespace cannot be had")
	}
	for kind, word := range words {
		switch {
		case *word != "":
		case !seen[kind]:
			*word = spec.NamespaceHost
		default:
			*word = spec.NamespacePrivate
		}
	}
	n := &t.s.Namespaces
	whose(&t.s.Network.Join, &t.s.Network.Mode, spec.NetworkPrivate, spec.NetworkHost, spec.NetworkJoin)
	whose(&n.User.Join, &n.User.Mode, spec.UserMap, spec.UserHost, spec.UserJoin)
	whose(&t.out.TimePath, &n.Time.Mode, spec.TimePrivate, spec.TimeHost, spec.TimeHost)
	return nil
}

// whose puts a word that says whose namespace it is into a mode and a path.
func whose[Mode ~string](path *string, mode *Mode, private, host, joined Mode) {
	switch *path {
	case spec.NamespacePrivate:
		*mode, *path = private, ""
	case spec.NamespaceHost:
		*mode, *path = host, ""
	default:
		*mode = joined
	}
}

// joined drops the mappings of a user namespace that has its own.
func (t *translator) joined() error {
	if u := &t.s.Namespaces.User; u.Mode == spec.UserJoin {
		u.UIDMappings, u.GIDMappings = nil, nil
	}
	return nil
}

func timeOffsets(t *translator) error {
	for _, clock := range slices.Sorted(maps.Keys(t.config.Linux.TimeOffsets)) {
		o := t.config.Linux.TimeOffsets[clock]
		into := map[string]*spec.Offset{"monotonic": &t.s.Namespaces.Time.Monotonic, "boottime": &t.s.Namespaces.Time.Boottime}[clock]
		switch {
		case into == nil:
			return invalid("clock %q is unknown", clock)
		case o.Nanosecs >= uint32(time.Second) || o.Secs > math.MaxInt64/int64(time.Second)-1 || o.Secs < math.MinInt64/int64(time.Second)+1:
			return invalid("the offset of %s is out of range", clock)
		}
		*into = spec.Offset(o.Secs*int64(time.Second) + int64(o.Nanosecs))
	}
	return nil
}

func nodes(t *translator) error {
	for _, d := range t.config.Linux.Devices {
		if d.Major < 0 || d.Minor < 0 {
			return invalid("device %s has the numbers %d:%d", d.Path, d.Major, d.Minor)
		}
		kind := spec.DeviceType(d.Type)
		if kind == "u" { // mknod(1): unbuffered
			kind = spec.DeviceChar
		}
		mode := uint32(0o666)
		if d.FileMode != nil {
			mode = uint32(*d.FileMode) &^ unix.S_IFMT // engines hand on what stat(2) said
		}
		node := spec.Device{
			Path: d.Path, Type: kind, Major: spec.NewNumber(uint64(d.Major)), Minor: spec.NewNumber(uint64(d.Minor)), Mode: fmt.Sprintf("%04o", mode&0o777),
		}
		if d.UID != nil {
			node.UID = spec.NewNumber(uint64(*d.UID))
		}
		if d.GID != nil {
			node.GID = spec.NewNumber(uint64(*d.GID))
		}
		t.s.Devices = append(t.s.Devices, node)
	}
	return nil
}

// sysctls: that of the domain name has a word of its own.
func sysctls(t *translator) error {
	t.s.Sysctls = maps.Clone(t.config.Linux.Sysctl)
	const domainname = "kernel.domainname"
	if name, ok := t.s.Sysctls[domainname]; ok {
		delete(t.s.Sysctls, domainname)
		if t.out.Domainname == "" {
			t.out.Domainname = name
		}
		return short(name)
	}
	return nil
}

func paths(word **[]string, said []string) error {
	for _, path := range said {
		if !strings.HasPrefix(path, "/") {
			return invalid("%q is not absolute", path)
		}
	}
	list := slices.Clone(said)
	*word = &list
	return nil
}

func memoryPolicy(t *translator) error {
	p := t.config.Linux.MemoryPolicy
	if p == nil {
		return nil
	}
	mode, ok := strings.CutPrefix(string(p.Mode), "MPOL_")
	if !ok {
		return invalid("mode %q is unknown", p.Mode)
	}
	t.s.MemoryPolicy = spec.MemoryPolicy{Mode: spec.MemoryMode(mode), Nodes: p.Nodes}
	for _, flag := range p.Flags {
		t.s.MemoryPolicy.Flags = append(t.s.MemoryPolicy.Flags, strings.TrimPrefix(string(flag), "MPOL_F_"))
	}
	return nil
}
