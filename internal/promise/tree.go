package promise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// namespaces are namespace.Kinds, and those that have no word of their own or none in a manifest that says nothing.
func (p Promise) namespaces() Section {
	s := Section{
		Title: Namespaces,
		Text: "A sandbox belongs to the container's name, or to its group: a restart keeps it, and with it addresses and System V objects. " +
			"The loopback is up and is the only interface.",
		Columns: []string{"namespace", "whose", "lives as long as"}, Facts: 2,
	}
	add := func(name string, own bool, life string) {
		whose := "the node's"
		if own {
			whose = "its own"
		}
		s.Rows = append(s.Rows, []string{name, whose, life})
	}
	for _, kind := range namespace.Kinds {
		life := "the process"
		if kind.Sandbox {
			life = "the name (sandbox)"
		}
		add(kind.Name, kind.Wanted(p.spec) == namespace.New, life)
	}
	add("mnt", true, "the process")
	add("user", p.spec.Namespaces.User.Mode != "" && p.spec.Namespaces.User.Mode != spec.UserHost, "the node")
	add("time", p.spec.Namespaces.Time.Private(), "the node")
	return s
}

// attributes are the flags of a mount by the words of mountinfo, see proc_pid_mountinfo(5).
var attributes = []struct {
	flag uint64
	word string
}{
	{unix.MOUNT_ATTR_RDONLY, "ro"},
	{unix.MOUNT_ATTR_NOSUID, "nosuid"},
	{unix.MOUNT_ATTR_NODEV, "nodev"},
	{unix.MOUNT_ATTR_NOEXEC, "noexec"},
	{unix.MOUNT_ATTR_NOATIME, "noatime"},
	{unix.MOUNT_ATTR_NODIRATIME, "nodiratime"},
	{unix.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
}

func words(attr uint64) string {
	var list []string
	for _, a := range attributes {
		if attr&a.flag != 0 {
			list = append(list, a.word)
		}
	}
	return strings.Join(list, ",")
}

// mounts are those of the plan, below the root.
func (p Promise) mounts() Section {
	s := Section{
		Title: Mounts,
		Text: "In this order. All are private: nothing passes to the node or comes from it. With `rootfs.readOnly: true` the root is the " +
			"directory itself, read-only. A mount of the manifest with the same destination takes the place of one of these, but for /, /proc and /sys; " +
			"those of /etc are there if the rootfs has the directory. A container with a probe that says `notify` has besides a directory " + spec.NotifyDir +
			" (`bind`, `ro,nosuid,nodev,noexec`), with the socket that NOTIFY_SOCKET names.",
		Columns: []string{"destination", "type", "flags", "options", ""}, Facts: 4,
	}
	root := p.tree.Root
	attr, options := uint64(unix.MOUNT_ATTR_NODEV), "size="+size(root.Size)
	if root.Devices {
		attr = 0
	}
	if root.ReadOnly {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	s.Rows = append(s.Rows, []string{"/", "overlay", words(attr), options, "the rootfs below a writable layer in memory, which ends with the process (`rootfs.writable`)"})
	for _, m := range p.tree.Mounts {
		var list []string
		for _, c := range m.Config {
			if text := setting(c); text != "" {
				list = append(list, text)
			}
		}
		slices.Sort(list)
		s.Rows = append(s.Rows, []string{m.Destination, m.Type, words(m.Attr.Set | m.All.Set), strings.Join(list, ","), purpose[m.Destination]})
	}
	return s
}

// purpose is what a reader wants to know of some mounts.
var purpose = map[string]string{
	"/sys/fs/cgroup": "cgroup2, on hybrid nodes as well: the container's own cgroup",
	"/etc/hosts":     "localhost, the container's own name, and `network.hosts`",
	"/etc/hostname":  "the host name",
	"/dev/pts":       "an instance of its own",
	"/dev/mqueue":    "that of the ipc namespace",
}

// setting is an option of a file system as the kernel shows it, "" for one it does not show.
func setting(c mount.Setting) string {
	switch c.Key {
	case "size":
		n, err := strconv.ParseUint(c.Value, 10, 64)
		must(err)
		return "size=" + size(n)
	case "mode", "ptmxmode":
		n, err := strconv.ParseUint(c.Value, 8, 32)
		must(err)
		return fmt.Sprintf("%s=%o", c.Key, n)
	case "newinstance":
		return ""
	}
	return c.String()
}

// size is a number of bytes in the kernel's way: shmem_show_options in mm/shmem.c.
func size(bytes uint64) string { return strconv.FormatUint(bytes>>10, 10) + "k" }

// hidden are the paths that are masked or made read-only.
func (p Promise) hidden() Section {
	s := Section{
		Title: Hidden,
		Text: "Those that the kernel has. A masked directory is empty and read-only, a masked file is the null device. `security.maskedPaths` and " +
			"`security.readonlyPaths` replace the lists.",
		Columns: []string{"path", "is"}, Facts: 2,
	}
	for _, path := range p.tree.Masked {
		s.Rows = append(s.Rows, []string{path, "masked"})
	}
	for _, path := range p.tree.Readonly {
		s.Rows = append(s.Rows, []string{path, "read-only"})
	}
	return s
}

// devices are the nodes in /dev.
func (p Promise) devices() Section {
	s := Section{
		Title:   Devices,
		Text:    "`devices` adds to them. They are made in the container's own /dev, never taken from the rootfs, where device nodes do not work.",
		Columns: []string{"path", "kind", "numbers", "mode", "owner"}, Facts: 5,
	}
	for _, d := range p.tree.Devices {
		kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b", unix.S_IFIFO: "p"}[d.Mode&unix.S_IFMT]
		s.Rows = append(s.Rows, []string{d.Path, kind, fmt.Sprintf("%d:%d", d.Major, d.Minor), fmt.Sprintf("%o", d.Mode&0o7777), fmt.Sprintf("%d:%d", d.UID, d.GID)})
	}
	return s
}

// links are those of /dev.
func (p Promise) links() Section {
	s := Section{
		Title:   Links,
		Text:    "/dev/console is there with `tty: true`.",
		Columns: []string{"path", "leads to"}, Facts: 2,
	}
	for _, l := range mount.Links {
		s.Rows = append(s.Rows, []string{"/dev/" + l.Name, l.Target})
	}
	return s
}

// deviceRules are what the cgroup lets the container do with devices.
func (p Promise) deviceRules() Section {
	s := Section{
		Title: DeviceRules,
		Text: "Whatever nodes there are: the last rule that fits counts. The letters are r (read), w (write) and m (make a node). Each device of `devices` adds a " +
			"rule; `deviceRules` replaces the list.",
		Columns: []string{"verdict", "kind", "numbers", "access"}, Facts: 4,
	}
	for _, r := range spec.DefaultDeviceRules {
		s.Rows = append(s.Rows, DeviceRule(r))
	}
	return s
}

// DeviceRule is the row of a rule.
func DeviceRule(r spec.DeviceRule) []string {
	verdict, kind, access := "denied", string(r.Type), r.Access
	if r.Allow {
		verdict = "allowed"
	}
	if kind == "" {
		kind = string(spec.RuleAll)
	}
	if access == "" {
		access = "rwm"
	}
	return []string{verdict, kind, number(r.Major) + ":" + number(r.Minor), access}
}

func number(n spec.Number) string {
	if n.IsZero() {
		return "*"
	}
	return strconv.FormatUint(n.Value(), 10)
}

// sysctls are the kernel parameters that a manifest can set.
func (p Promise) sysctls() Section {
	s := Section{
		Title: Sysctls,
		Text: "None is set unless `sysctls` says so, and /proc/sys is read-only. These can be set, because they belong to the container's namespaces; all others are the node's " +
			"and are refused. With a user namespace of its own a container may set `" + spec.SysctlUserPrefix + "*` as well.",
		Columns: []string{"parameter", "of the namespace"}, Facts: 1,
	}
	for _, prefix := range spec.SysctlPrefixes {
		of := "ipc"
		if prefix == "net." {
			of = "net"
		}
		s.Rows = append(s.Rows, []string{prefix + "*", of})
	}
	for _, name := range spec.SysctlNames {
		s.Rows = append(s.Rows, []string{name, "ipc"})
	}
	return s
}
