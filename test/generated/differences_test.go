package generated

import (
	"path"
	"regexp"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// difference is something that differs and is to.
type difference struct {
	prefix string // of keys
	// plain takes what differs out of what either runtime shows.
	plain  func(s *sample, key, value string) string
	reason string
}

// differences are all of them.
var differences = []difference{
	{
		"cgroup devices", func(_ *sample, _, v string) string { return strings.Replace(v, "c 10:200 rwm; ", "", 1) },
		"every container may use the node's network tunnels with this runc: version 1.2 took that back",
	},
	{
		"cgroup devices", func(_ *sample, _, v string) string {
			if strings.Contains(v, "c *:229 ") {
				v = regexp.MustCompile(`c 10?:229 [rwm]+; `).ReplaceAllString(v, "")
			}
			return v
		},
		"what a device may by one rule and by another, each of many devices, it may in one call as well, which lists of cgroup v1 need an entry for",
	},
	{"status SigIgn", nothing, "a container is not to notice how the engine was started: this runtime has it ignore no signal"},
	{"cgroup systemd", nothing, named},
	{"mount /sys/fs/cgroup/systemd", nothing, named},
	{"control groups", func(_ *sample, _, v string) string {
		return regexp.MustCompile(`name=systemd:.*`).ReplaceAllString(v, "")
	}, named},
	{"mount /sys/fs/cgroup", func(_ *sample, key, v string) string {
		if key == "mount /sys/fs/cgroup" {
			v, _, _ = strings.Cut(v, ",") // of the flags and the size
			v, _, _ = strings.Cut(v, " ro")
		}
		return v
	}, "the directory of the hierarchies is a small file system, read-only if the mount is"},
	{"path /sys/fs/cgroup", onlyKind, "the directory of the hierarchies is a small file system, read-only if the mount is"},

	{"mount ", func(s *sample, key, v string) string {
		if slices.Contains(s.config.Linux.MaskedPaths, place(key)) && v != "" {
			return "a mask"
		}
		return v
	}, masks},
	{"path ", func(s *sample, key, v string) string {
		if slices.Contains(s.config.Linux.MaskedPaths, place(key)) {
			v = strings.Replace(v, "directory 1777", "directory 0555", 1)
			v = strings.Replace(v, "65534:65534 1:3", "0:0 1:3", 1)
		}
		return v
	}, masks},

	{"mount ", func(_ *sample, _, v string) string {
		if strings.HasPrefix(v, "sysfs") {
			return strings.Replace(v, "super options ro", "super options rw", 1)
		}
		return v
	}, sharedSysfs},
	{"path /sys", func(s *sample, _, v string) string {
		if !s.ownNet {
			return strings.Replace(v, "EROFS", "EACCES", 1)
		}
		return v
	}, sharedSysfs},
	{
		"mount ", func(_ *sample, _, v string) string { return regexp.MustCompile(`mode=[0-7]+,`).ReplaceAllString(v, "") },
		"a tmpfs that says no mode gets that of the directory below it when it is made, with runc a moment later",
	},
	{"path ", func(s *sample, key, v string) string {
		if s.hasMount(key, func(m specs.Mount) bool { return m.Type == "tmpfs" && saysMode(m) }) {
			return onlyKind(s, key, v)
		}
		return v
	}, "a tmpfs has the mode that it says: this runc gives it that of the directory below it, which version 1.2 took back"},

	{"path ", func(s *sample, key, v string) string {
		if slices.ContainsFunc(s.config.Mounts, func(m specs.Mount) bool {
			return slices.Contains(m.Options, "tmpcopyup") && at(place(key), m.Destination)
		}) {
			return ""
		}
		return v
	}, "a tmpfs with a copy of a directory has its owner as well, and who may look into it may look into that"},

	{"rootfs ", func(_ *sample, key, v string) string {
		if key == "rootfs /probe/" {
			return v
		}
		return strings.Replace(v, "100755 ", "100644 ", 1)
	}, "a file that is made to be mounted over need not be executable"},
	{"mount ", func(s *sample, key, v string) string {
		if s.isDevice(place(key)) {
			return ""
		}
		return v
	}, boundDevices},
	{"mount ", inUserNamespace, ownDevices},
	{"path ", inUserNamespace, ownDevices},
	{"dev ", inUserNamespace, ownDevices},
	{"open ", inUserNamespace, ownDevices},
	{"dev /dev/mqueue", func(_ *sample, _, v string) string { return strings.Replace(v, ":65534", ":0", 1) }, "the queues' directory is the container's, group and all"},
	{"path ", func(s *sample, key, v string) string {
		if s.isDevice(place(key)) {
			v, _, _ = strings.Cut(v, ", read")
		}
		return v
	}, boundDevices},
	{"rootfs ", func(s *sample, key, v string) string {
		if s.isDevice(place(key)) {
			return ""
		}
		return v
	}, boundDevices},

	{"call ", func(s *sample, key, v string) string {
		if p := s.config.Linux.Seccomp; p != nil && len(p.Architectures) == 0 && p.DefaultAction != specs.ActAllow && slices.ContainsFunc(laterCalls, func(name string) bool { return strings.HasPrefix(key, "call "+name) }) {
			return ""
		}
		return v
	}, "calls that a profile is too old for do not exist, whether it names architectures or not"},

	{"status NS", func(s *sample, _, v string) string {
		if !s.ownPID {
			return ""
		}
		return v
	}, "in the node's pid namespace every process has a number of its own"},

	{"mount ", func(s *sample, key, v string) string {
		if p := s.config.Linux.RootfsPropagation; key == "mount /" && (strings.HasSuffix(p, "shared") || strings.HasSuffix(p, "unbindable")) || p == "rshared" {
			return unpropagated(v)
		}
		return v
	}, "rootfsPropagation is that of the container's root (config-linux.md): this runc gives it to the node's alone"},
	{"mount ", func(s *sample, key, v string) string {
		if p := s.config.Linux.RootfsPropagation; p != "" && !strings.HasPrefix(p, "r") && strings.HasPrefix(v, "tmpfs") && (strings.Contains(v, " of below") || strings.Contains(v, "BUNDLE/source")) {
			return unpropagated(v)
		}
		return v
	}, "what is mounted on a shared mount of the node stays in the container, whether or not rootfsPropagation is recursive"},

	{"mount ", func(s *sample, key, v string) string {
		if slices.Contains(s.config.Linux.ReadonlyPaths, unlinked(place(key))) {
			return strings.Replace(v, "nosymfollow,", "", 1)
		}
		return v
	}, "read-only paths keep their other flags"},
	{"mount ", func(s *sample, key, v string) string {
		if s.ownUser && s.isCovered(place(key)) {
			return unpropagated(v)
		}
		return v
	}, "in a user namespace mounts are made shared again once all are there, and those that others cover are not"},
	{"mount ", belowReadonly, readonlyTrees},
	{"path ", belowReadonly, readonlyTrees},

	{"cgroup memory//memory.memsw.limit_in_bytes", func(s *sample, _, v string) string {
		if m := s.config.Linux.Resources.Memory; *m.Limit%4096 != 0 {
			return ""
		}
		return v
	}, "memory and swap are each whole pages: their sum may be one less than that of parts of pages"},
}

const (
	ownDevices    = "in a user namespace devices are made for the container, with the owner, mode and numbers that are said, and not the node's own"
	named         = "the hierarchy name=systemd limits nothing, and is its manager's"
	sharedSysfs   = "sysfs is one file system for all of a network namespace: what is read-only is the container's mount of it, and with runc all of it"
	masks         = "masks are of file systems made for them, which nobody can write to, and not the container's or the node's /dev/null"
	boundDevices  = "where /dev is no file system made for the container, devices are bound, so that no node stays in the rootfs"
	readonlyTrees = "readonlyPaths are read-only with what is mounted below them"
)

func nothing(*sample, string, string) string { return "" }

// onlyKind leaves whether it is a file or a directory.
func onlyKind(_ *sample, _, v string) string {
	v, _, _ = strings.Cut(v, " ")
	return v
}

// place is the path in a key.
func place(key string) string {
	_, p, _ := strings.Cut(key, " ")
	p, _, _ = strings.Cut(p, " ")
	return path.Clean(p)
}

// unlinked is where a path leads: /link is /data.
func unlinked(p string) string { return strings.Replace(p, "/link", "/data", 1) }

// at tells whether a path is another or below it.
func at(p, top string) bool {
	p, top = unlinked(p), unlinked(top)
	return p == top || strings.HasPrefix(p, top+"/")
}

// hasMount tells whether there is a mount of some kind at the place of a key.
func (s *sample) hasMount(key string, is func(specs.Mount) bool) bool {
	return slices.ContainsFunc(s.config.Mounts, func(m specs.Mount) bool { return unlinked(m.Destination) == unlinked(place(key)) && is(m) })
}

func saysMode(m specs.Mount) bool {
	return slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "mode=") })
}

// isCovered tells whether something else is in the place of a mount, or above it, by now.
func (s *sample) isCovered(p string) bool {
	isMasked := slices.ContainsFunc(slices.Concat(s.config.Linux.MaskedPaths, s.config.Linux.ReadonlyPaths), func(m string) bool { return at(p, m) })
	below := slices.IndexFunc(s.config.Mounts, func(m specs.Mount) bool { return unlinked(m.Destination) == unlinked(p) })
	return isMasked || below >= 0 && slices.ContainsFunc(s.config.Mounts[below+1:], func(m specs.Mount) bool { return at(p, m.Destination) })
}

// defaultDevices are those that every container has.
var defaultDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// isDevice tells whether a device goes into a directory that no file system is made for.
func (s *sample) isDevice(p string) bool {
	if s.hasMount("mount /dev", func(specs.Mount) bool { return true }) && strings.HasPrefix(p, "/dev/") {
		return false
	}
	return slices.Contains(defaultDevices, p) || slices.ContainsFunc(s.config.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == p })
}

// laterCalls have numbers above all that profiles here name.
var laterCalls = []string{"landlock_create_ruleset", "cachestat", "a call of a later kernel", "no call"}

// inUserNamespace is nothing of devices there.
func inUserNamespace(s *sample, key, v string) string {
	p := place(key)
	if s.ownUser && (s.isDevice(p) || slices.Contains(defaultDevices, p) || strings.HasPrefix(p, "/dev/") && slices.ContainsFunc(s.config.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == p })) {
		return ""
	}
	return v
}

func unpropagated(v string) string { return regexp.MustCompile(`"[a-z,]*"`).ReplaceAllString(v, "") }

// belowReadonly is nothing of what is below a read-only path.
func belowReadonly(s *sample, key, v string) string {
	p := place(key)
	if slices.ContainsFunc(s.config.Linux.ReadonlyPaths, func(r string) bool { return at(p, r) && unlinked(p) != r }) {
		return ""
	}
	return v
}
