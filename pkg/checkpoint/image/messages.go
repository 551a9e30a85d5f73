package image

import "fmt"

// The messages of criu's images, as far as we read them.
type (
	inventoryEntry struct {
		Version uint32   `pb:"1"`
		PerID   bool     `pb:"2"`
		Root    *ids     `pb:"3"`
		LSM     uint32   `pb:"6"`
		Plugins *plugins `pb:"12"`
		Run     string   `pb:"13"`
		Uprobes bool     `pb:"14"`
	}
	plugins struct {
		Names []string `pb:"12"`
	}
	ids struct {
		PID    uint32 `pb:"5" ns:"pid"`
		Net    uint32 `pb:"6" ns:"net"`
		IPC    uint32 `pb:"7" ns:"ipc"`
		UTS    uint32 `pb:"8" ns:"uts"`
		Mount  uint32 `pb:"9" ns:"mnt"`
		User   uint32 `pb:"10" ns:"user"`
		Cgroup uint32 `pb:"11" ns:"cgroup"`
		Time   uint32 `pb:"12" ns:"time"`
	}
	pstreeEntry struct {
		PID     uint32   `pb:"1"`
		Parent  uint32   `pb:"2"`
		Threads []uint32 `pb:"5"`
	}
	coreEntry struct {
		Machine uint32       `pb:"1"`
		Task    *taskEntry   `pb:"3"`
		IDs     *ids         `pb:"4"`
		Thread  *threadEntry `pb:"5"`
	}
	taskEntry struct {
		State  uint32   `pb:"1"`
		Comm   string   `pb:"6"`
		Limits *rlimits `pb:"8"`
		OOM    int32    `pb:"14"`
	}
	rlimits struct {
		List []rlimitEntry `pb:"1"`
	}
	rlimitEntry struct {
		Soft uint64 `pb:"1"`
		Hard uint64 `pb:"2"`
	}
	threadEntry struct {
		Nice    int32       `pb:"3,zigzag"`
		Policy  uint32      `pb:"4"`
		Creds   *credsEntry `pb:"10"`
		Seccomp uint32      `pb:"11"`
		Filter  *uint32     `pb:"12"`
		Comm    string      `pb:"13"`
	}
	credsEntry struct {
		Inh    []uint32 `pb:"9"`
		Prm    []uint32 `pb:"10"`
		Eff    []uint32 `pb:"11"`
		Bnd    []uint32 `pb:"12"`
		LSM    string   `pb:"15"`
		Create string   `pb:"16"`
		Data   []byte   `pb:"17"`
		NNP    uint32   `pb:"18"`
		Amb    []uint32 `pb:"19"`
	}
	mountEntry struct {
		Type     uint32 `pb:"1"`
		ID       uint32 `pb:"2"`
		Parent   uint32 `pb:"4"`
		Flags    uint32 `pb:"5"`
		Root     string `pb:"6"`
		Point    string `pb:"7"`
		Plugin   bool   `pb:"12"`
		External bool   `pb:"13"`
		TypeName string `pb:"14"`
		Deleted  bool   `pb:"16"`
		Super    uint32 `pb:"17"`
		Key      string `pb:"18"`
	}
	seccompEntry struct {
		Filters []filterEntry `pb:"1"`
	}
	filterEntry struct {
		Program []byte  `pb:"1"`
		Prev    *uint32 `pb:"2"`
		Flags   uint32  `pb:"3"`
	}
	usernsEntry struct {
		UIDs []IDMap `pb:"1"`
		GIDs []IDMap `pb:"2"`
	}
	fileEntry struct {
		Type uint32     `pb:"1"`
		Inet *inetEntry `pb:"4"`
	}
	inetEntry struct {
		Family uint32 `pb:"3"`
		Kind   uint32 `pb:"4"`
	}
	ghostEntry struct {
		Mode uint32 `pb:"3"`
	}
	ttyEntry struct {
		Type uint32 `pb:"2"`
	}
)

// What the numbers of criu's images mean, in their order.
var (
	arches    = []string{"", "amd64", "arm", "arm64", "ppc64le", "s390x", "mips64le", "loong64", "riscv64"}
	lsms      = []string{"", "SELinux", "AppArmor"}
	ttyNames  = []string{"unknown", "terminal", "console of the node", "virtual console of the node", "controlling terminal", "terminal of somebody else", "serial line"}
	fileTypes = []string{
		"unknown", "file", "pipe", "fifo", "socket", "unix socket", "eventfd", "epoll", "inotify", "signalfd", "packet socket", "terminal", "fanotify",
		"netlink socket", "namespace", "TUN device", "file of a plugin", "timerfd", "memfd", "map of a BPF program", "pidfd",
	}
	mountTypes = []string{
		"", "proc", "sysfs", "devtmpfs", "binfmt_misc", "tmpfs", "devpts", "simfs", "pstore", "securityfs", "fusectl", "debugfs", "cgroup", "aufs",
		"mqueue", "fuse", "", "overlay", "autofs", "tracefs", "", "", "", "cgroup2",
	}
)

func word(list []string, n uint32) string {
	if int64(n) < int64(len(list)) && list[n] != "" {
		return list[n]
	}
	return fmt.Sprintf("unknown (%d)", n)
}
