package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// breach is one thing a manifest asks for and may not have.
type breach struct {
	at      []string // keys below spec, and indexes of lists
	message string
}

func denied(message string, at ...string) breach { return breach{at, message} }

// policyRule is one field of a policy. check is only asked when the field says something.
type policyRule struct {
	name  string // below the policy's spec
	said  func(p *PolicySpec) bool
	check func(p *PolicySpec, c *ContainerSpec) []breach
}

// policyRules are all of them, in the order of the fields.
var policyRules = []policyRule{
	{"rootfs.allowedPaths", listSaid(func(p *PolicySpec) *[]string { return p.Rootfs.AllowedPaths }), func(p *PolicySpec, c *ContainerSpec) []breach {
		return outside(c.Rootfs.Path, *p.Rootfs.AllowedPaths, "rootfs", "path")
	}},
	{"rootfs.direct", denies(func(p *PolicySpec) Permission { return p.Rootfs.Direct }), func(_ *PolicySpec, c *ContainerSpec) []breach {
		return when(c.Rootfs.Writable.Medium == MediumDirect, "writes to the node's directory", "rootfs", "writable", "medium")
	}},
	{"mounts.allowedSources", listSaid(func(p *PolicySpec) *[]string { return p.Mounts.AllowedSources }), checkSources},
	{"mounts.allowedTypes", listSaid(func(p *PolicySpec) *[]string { return p.Mounts.AllowedTypes }), func(p *PolicySpec, c *ContainerSpec) (all []breach) {
		for i, m := range c.Mounts {
			all = append(all, unlisted(m.Type, *p.Mounts.AllowedTypes, "mounts", strconv.Itoa(i), "type")...)
		}
		return all
	}},
	{"hostNamespaces", denies(func(p *PolicySpec) Permission { return p.HostNamespaces }), checkHostNamespaces},
	{"userNamespace", func(p *PolicySpec) bool { return p.UserNamespace == Required }, func(_ *PolicySpec, c *ContainerSpec) []breach {
		u := c.Namespaces.User
		return slices.Concat(
			when(u.Mode == "" || u.Mode == UserHost, "has the node's users", "namespaces", "user", "mode"),
			when(u.Mode == UserJoin && strings.HasPrefix(u.Join, "/"), "may be the node's", "namespaces", "user", "join"))
	}},
	{"capabilities.allowed", listSaid(func(p *PolicySpec) *[]string { return p.Capabilities.Allowed }), checkCapabilities},
	{"devices.allowed", listSaid(func(p *PolicySpec) *[]string { return p.Devices.Allowed }), checkDevices},
	{"sysctls.allowed", listSaid(func(p *PolicySpec) *[]string { return p.Sysctls.Allowed }), func(p *PolicySpec, c *ContainerSpec) (all []breach) {
		for _, name := range slices.Sorted(maps.Keys(c.Sysctls)) {
			all = append(all, when(!slices.ContainsFunc(*p.Sysctls.Allowed, func(pattern string) bool { return fits(name, pattern) }), "is not allowed", "sysctls", name)...)
		}
		return all
	}},
	{"seccomp.allowed", func(p *PolicySpec) bool { return p.Seccomp.Allowed != nil }, func(p *PolicySpec, c *ContainerSpec) []breach {
		mode := c.Security.Seccomp
		orElse(&mode, SeccompDefault)
		return when(!slices.Contains(*p.Seccomp.Allowed, mode), string(mode)+" is not allowed", "security", "seccomp")
	}},
	{"newPrivileges", denies(func(p *PolicySpec) Permission { return p.NewPrivileges }), func(_ *PolicySpec, c *ContainerSpec) []breach {
		return when(c.Security.AllowNewPrivileges, "is not allowed", "security", "allowNewPrivileges")
	}},
	{"unmasked", denies(func(p *PolicySpec) Permission { return p.Unmasked }), func(_ *PolicySpec, c *ContainerSpec) []breach {
		return slices.Concat(
			when(c.Base == BaseNone, "hides nothing of the kernel", "base"),
			lacks(c.Security.MaskedPaths, DefaultMaskedPaths, "maskedPaths"),
			lacks(c.Security.ReadonlyPaths, DefaultReadonlyPaths, "readonlyPaths"))
	}},
	{"unconfinedAppArmor", denies(func(p *PolicySpec) Permission { return p.UnconfinedAppArmor }), func(_ *PolicySpec, c *ContainerSpec) []breach {
		return when(c.Security.AppArmor == "unconfined", "is not allowed", "security", "apparmor")
	}},
	{"hooks", denies(func(p *PolicySpec) Permission { return p.Hooks }), func(_ *PolicySpec, c *ContainerSpec) []breach {
		h := c.Hooks
		return slices.Concat(
			when(len(h.CreateRuntime) > 0, "runs on the node", "hooks", "createRuntime"),
			when(len(h.CreateContainer) > 0, "sees the node's files", "hooks", "createContainer"),
			when(len(h.Poststart) > 0, "runs on the node", "hooks", "poststart"),
			when(len(h.Poststop) > 0, "runs on the node", "hooks", "poststop"))
	}},
	{"logs.allowedDrivers", func(p *PolicySpec) bool { return p.Logs.AllowedDrivers != nil }, func(p *PolicySpec, c *ContainerSpec) []breach {
		d := c.Logs.Driver
		return when(d != "" && !slices.Contains(*p.Logs.AllowedDrivers, d), string(d)+" is not allowed", "logs", "driver")
	}},
	{"resources.memory.max", func(p *PolicySpec) bool { return !p.Resources.Memory.Max.IsZero() }, func(p *PolicySpec, c *ContainerSpec) []breach {
		return above(c.Resources.Memory.Max, p.Resources.Memory.Max, sizeText, c.Resources.Unified, "memory")
	}},
	{"resources.pids.max", func(p *PolicySpec) bool { return !p.Resources.Pids.Max.IsZero() }, func(p *PolicySpec, c *ContainerSpec) []breach {
		return above(c.Resources.Pids.Max, p.Resources.Pids.Max, func(n uint64) string { return strconv.FormatUint(n, 10) }, c.Resources.Unified, "pids")
	}},
}

func listSaid(of func(*PolicySpec) *[]string) func(*PolicySpec) bool {
	return func(p *PolicySpec) bool { return of(p) != nil }
}

func denies(of func(*PolicySpec) Permission) func(*PolicySpec) bool {
	return func(p *PolicySpec) bool { return of(p) == Deny }
}

func when(broken bool, message string, at ...string) []breach {
	if !broken {
		return nil
	}
	return []breach{denied(message, at...)}
}

// beneath tells whether a path is one of the directories, or in one of them.
func beneath(p string, dirs []string) bool {
	p = path.Clean(p)
	return slices.ContainsFunc(dirs, func(dir string) bool {
		dir = path.Clean(dir)
		return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
	})
}

func outside(p string, dirs []string, at ...string) []breach {
	return when(!beneath(p, dirs), quoteBare(p)+" is not "+anyOf("in ", dirs), at...)
}

func unlisted(word string, words []string, at ...string) []breach {
	return when(!slices.Contains(words, word), quoteBare(word)+" is not "+anyOf("", words), at...)
}

// anyOf lists what is allowed, for a message: "is not in /srv, /data".
func anyOf(in string, words []string) string {
	const most = 8
	switch {
	case len(words) == 0:
		return "allowed, nor is any other"
	case len(words) > most:
		return in + strings.Join(words[:most], ", ") + fmt.Sprintf(" or %d others", len(words)-most)
	}
	return in + strings.Join(words, ", ")
}

// fits tells whether a name is, or begins as, a pattern with .* at its end says.
func fits(name, pattern string) bool {
	begin, open := strings.CutSuffix(pattern, "*")
	return name == pattern || open && strings.HasPrefix(name, begin)
}

// lacks tells a list that has not all of the default one.
func lacks(said *[]string, all []string, key string) []breach {
	if said == nil {
		return nil
	}
	for _, p := range all {
		if !slices.Contains(*said, p) {
			return []breach{denied("lacks "+p+" of the default list", "security", key)}
		}
	}
	return nil
}

// rawLimits are the kernel files of the limits that have ceilings, of cgroup v2 and v1.
var rawLimits = map[string][]string{"memory": {"memory.max", "memory.limit_in_bytes"}, "pids": {"pids.max"}}

// above tells a limit that is not said, or higher than its ceiling, which a raw file beside it could lift again.
func above(said, ceiling Limit, text func(uint64) string, unified map[string]string, controller string) []breach {
	at := []string{"resources", controller, "max"}
	for _, file := range rawLimits[controller] {
		if _, lifted := unified[file]; lifted {
			return []breach{denied("may lift the limit", "resources", "unified", file)}
		}
	}
	switch {
	case ceiling.IsMax():
		return when(said.IsZero(), "must be said", at...)
	case said.IsZero():
		return []breach{denied("must be said, at most "+text(ceiling.Value()), at...)}
	case said.IsMax() || said.Value() > ceiling.Value():
		return []breach{denied(said.String()+" is more than "+text(ceiling.Value()), at...)}
	}
	return nil
}

// overlayPaths are the options of an overlay that name directories of the node, see mount(8).
var overlayPaths = []string{"lowerdir=", "lowerdir+=", "datadir+=", "upperdir=", "workdir="}

func checkSources(p *PolicySpec, c *ContainerSpec) (all []breach) {
	for i, m := range c.Mounts {
		if m.Source != "" {
			all = append(all, outside(m.Source, *p.Mounts.AllowedSources, "mounts", strconv.Itoa(i), "source")...)
		}
		for j, option := range m.Options {
			for _, key := range overlayPaths {
				list, ok := strings.CutPrefix(option, key)
				for dir := range strings.SplitSeq(list, ":") {
					if ok && dir != "" {
						all = append(all, outside(dir, *p.Mounts.AllowedSources, "mounts", strconv.Itoa(i), "options", strconv.Itoa(j))...)
					}
				}
			}
		}
	}
	return all
}

func checkHostNamespaces(_ *PolicySpec, c *ContainerSpec) (all []breach) {
	n := c.Namespaces
	for _, of := range []struct{ kind, said string }{{"pid", n.PID}, {"ipc", n.IPC}, {"uts", n.UTS}, {"cgroup", n.Cgroup}} {
		all = append(all, whose(of.said, "namespaces", of.kind)...)
	}
	all = append(all, when(c.Network.Mode == NetworkHost, "is the node's", "network", "mode")...)
	return append(all, whose(c.Network.Join, "network", "join")...)
}

// whose tells a namespace of the node, or one that may be.
func whose(said string, at ...string) []breach {
	return slices.Concat(when(said == NamespaceHost, "is the node's", at...), when(strings.HasPrefix(said, "/"), "may be the node's", at...))
}

// defaultCapabilities are those of a container that adds and drops nothing; a test holds them to the backend's.
var defaultCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

func checkCapabilities(p *PolicySpec, c *ContainerSpec) (all []breach) {
	allowed := *p.Capabilities.Allowed
	if slices.Contains(allowed, CapabilityAll) {
		return nil
	}
	s := c.Security.Capabilities
	for _, set := range []struct {
		key   string
		names []string
	}{{"add", s.Add}, {"bounding", s.Bounding}, {"effective", s.Effective}, {"permitted", s.Permitted}, {"inheritable", s.Inheritable}, {"ambient", s.Ambient}} {
		for i, name := range set.names {
			known := slices.Contains(allowed, name) || slices.Contains(defaultCapabilities, name)
			all = append(all, when(!known, name+" is not allowed", "security", "capabilities", set.key, strconv.Itoa(i))...)
		}
	}
	return all
}

func checkDevices(p *PolicySpec, c *ContainerSpec) (all []breach) {
	for i, d := range c.Devices {
		at := []string{"devices", strconv.Itoa(i)}
		source, key := d.Source, "source"
		if source == "" {
			source, key = d.Path, "path"
		}
		if d.Type != "" {
			all = append(all, denied("a device by its number may be any", append(at, "type")...))
			continue
		}
		all = append(all, unlisted(path.Clean(source), *p.Devices.Allowed, append(at, key)...)...)
	}
	for i, r := range c.DeviceRules {
		all = append(all, when(r.Allow, "allows devices by their numbers", "deviceRules", strconv.Itoa(i), "allow")...)
	}
	return all
}
