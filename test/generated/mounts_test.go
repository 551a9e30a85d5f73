package generated

import (
	"fmt"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// propagations are mount options, none most of the time.
var propagations = []string{"", "", "", "", "private", "rprivate", "slave", "rslave", "shared", "rshared"}

// flags are options of any mount; of two that contradict each other the later one counts, but for those in atimes: runc takes any of them that is said.
var (
	flags  = []string{"nosuid", "nodev", "noexec", "ro", "nodiratime", "rw", "suid", "dev", "exec", "nosymfollow"}
	atimes = []string{"noatime", "relatime", "strictatime"}
)

// recursive are options of all mounts of a tree.
var recursive = []string{"rro", "rnosuid", "rnodev", "rnoexec", "rnodiratime", "rnosymfollow"}

// words are some of the flags, the recursive ones with "r".
func (s *sample) words(percent int, prefix string, from []string) []string {
	list := some(s.dice, percent, from...)
	if s.dice.percent(percent) {
		list = append(list, prefix+pick(s.dice, atimes...))
	}
	return list
}

// places are the mounts, and the paths that are masked or made read-only.
func (s *sample) places() {
	d := s.dice
	quiet := []string{"nosuid", "noexec", "nodev"}
	add := func(destination, kind, source string, options ...string) {
		if p := pick(d, propagations...); p != "" && d.percent(40) {
			options = append(options, p)
		}
		s.config.Mounts = append(s.config.Mounts, specs.Mount{Destination: destination, Type: kind, Source: source, Options: options})
	}
	add("/proc", "proc", "proc", some(d, 50, quiet...)...)
	if hasDev := d.percent(85); hasDev {
		options := []string{"nosuid", "strictatime", fmt.Sprintf("mode=%s", pick(d, "755", "0755", "711")), "size=65536k"}
		if d.percent(10) {
			options = append(options, "ro")
		}
		add("/dev", "tmpfs", "tmpfs", options...)
		if d.percent(80) {
			add("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", pick(d, "mode=0620", "mode=0600"), "gid=5")
		}
		if d.percent(70) {
			add("/dev/shm", "tmpfs", "shm", append(some(d, 80, quiet...), "mode=1777", "size=65536k")...)
		}
		if d.percent(70) && (s.ownIPC || !s.ownUser) {
			add("/dev/mqueue", "mqueue", "mqueue", some(d, 80, quiet...)...)
		}
	}
	if d.percent(80) && (s.ownNet || !s.ownUser) {
		add("/sys", "sysfs", "sysfs", some(d, 70, append(quiet, "ro")...)...)
		if d.percent(60) {
			add("/sys/fs/cgroup", "cgroup", "cgroup", append(slices.Clone(quiet), "relatime", pick(d, "ro", "rw"))...) // runc takes no other flags
		}
	}
	for _, at := range some(d, 30, "/tmp", "/data/sub", "/missing/deep", pick(d, "/data", "/link")) {
		s.mount(at, false, add)
	}
	for _, at := range some(d, 20, "/etc/file", "/etc/new", "/missing/file") {
		s.mount(at, true, add)
	}
	s.covered()
	s.orders.Paths = append(s.orders.Paths, "/", "/etc", "/etc/file", "/tmp", "/data", "/secret/file", "/secret/directory", "/proc/sys", "/proc/kcore", "/sys", "/sys/fs/cgroup", "/dev")
	slices.Sort(s.orders.Paths)
	s.orders.Paths = slices.Compact(s.orders.Paths)
}

// mount puts a tmpfs or something of the bundle at a place.
func (s *sample) mount(at string, isFile bool, add func(destination, kind, source string, options ...string)) {
	d := s.dice
	s.orders.Paths = append(s.orders.Paths, at)
	if !isFile && d.percent(40) {
		options := append(s.words(20, "", flags), some(d, 40, "size="+pick(d, "64k", "1m", "10%"), "nr_inodes=100", "uid=1000", "gid=5")...)
		if at == "/tmp" || at == "/missing/deep" { // with nothing to look at below
			options = append(options, some(d, 50, "mode="+pick(d, "1777", "0700", "755"))...)
		}
		if d.percent(20) && !s.ownUser && s.config.Linux.RootfsPropagation == "" { // runc copies by way of the node's /tmp
			options = append(options, "tmpcopyup")
		}
		add(at, "tmpfs", pick(d, "tmpfs", "none", "words"), options...)
		return
	}
	source := "source/file"
	if !isFile {
		source = pick(d, "source/directory", "source/shared")
		s.orders.Paths = append(s.orders.Paths, path.Join(at, "below"))
	}
	options := append([]string{pick(d, "bind", "rbind")}, s.words(20, "", flags)...)
	if options = append(options, s.words(pick(d, 0, 0, 20), "r", recursive)...); s.ownUser { // where what is mounted below the source, and its flags, are locked
		options = append([]string{"rbind"}, some(d, 30, "ro", "nosuid", "nodev", "noexec")...)
	}
	add(at, pick(d, "bind", "none", ""), source, options...)
}

// covered are the paths that are masked or made read-only, missing ones among them.
func (s *sample) covered() {
	d, l := s.dice, s.config.Linux
	if d.percent(20) {
		return
	}
	l.MaskedPaths = some(d, 50, "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/proc/scsi", "/sys/firmware", "/secret/file", "/secret/directory", "/missing/mask", "/tmp")
	l.ReadonlyPaths = some(d, 50, "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/data", "/etc/file", "/missing/readonly")
	s.orders.Paths = append(s.orders.Paths, l.MaskedPaths...)
	s.orders.Paths = append(s.orders.Paths, l.ReadonlyPaths...)
	s.orders.Paths = slices.DeleteFunc(s.orders.Paths, func(p string) bool { return p == "/proc/sysrq-trigger" }) // opening it is all that is harmless
}
