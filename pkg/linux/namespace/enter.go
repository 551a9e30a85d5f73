package namespace

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// The descriptors of Enter, EnterParked and EnterUser: a process of the container, and its clocks.
const (
	FileTarget = "target" // a pidfd
	FileTime   = "time"
)

// Enter makes a program that begins in the namespaces of the process of FileTarget, but for users and clocks. Who is in that pid namespace
// sees the child from its first moment on, when its memory is the starter's. Afterwards / and the working directory are the container's root.
func Enter(p *process.Program) {
	p.PidNS = FileTarget
	enter(p, ^unix.CLONE_NEWPID) // which the starter joins
}

// EnterParked adds the ops that park, unless the program has, and join the namespaces of the process of FileTarget, but for users, and with clocks those of
// FileTime. In the pid namespace is only who is born after it: see process.Program.Reborn.
func EnterParked(p *process.Program, clocks bool) {
	park(p)
	enter(p, ^0)
	if clocks {
		EnterTime(p)
	}
}

// park parks unless the program has.
func park(p *process.Program) {
	if !p.Parks() {
		p.Park()
	}
}

// enter joins namespaces all in one call, so that nobody can change between them what is joined. See setns(2).
func enter(p *process.Program, which int) {
	flags := unix.CLONE_NEWNS
	for _, k := range Kinds {
		flags |= k.Flag
	}
	p.Call("join the container", "", unix.SYS_SETNS, p.File(FileTarget), process.Int(flags&which))
}

// EnterUser adds the op that joins the user namespace of the process of FileTarget, which must be another one. From then on the child is
// nobody on the node.
func EnterUser(p *process.Program) {
	p.Call("join the container's users", "", unix.SYS_SETNS, p.File(FileTarget), process.Int(unix.CLONE_NEWUSER))
}

// EnterTime adds the ops that join the time namespace of FileTime. The kernel refuses it to who shares memory, so the program parks.
func EnterTime(p *process.Program) {
	park(p)
	p.Call("join the container's clocks", "", unix.SYS_SETNS, p.File(FileTime), process.Int(unix.CLONE_NEWTIME))
}

// JoinUser adds the ops that join the user namespace of FileUser late in a start, when the node's superuser has built everything. The mount
// namespace is made once more, and the cgroup namespace if the container has one of its own, so that both belong to it: what was mounted is
// locked together there, and nothing of it can be taken off. See mount_namespaces(7).
func JoinUser(p *process.Program, plan Plan) {
	p.Call("join user namespace", "", unix.SYS_SETNS, p.File(FileUser), process.Int(unix.CLONE_NEWUSER))
	flags := unix.CLONE_NEWNS
	if plan.Cgroup == New {
		flags |= unix.CLONE_NEWCGROUP
	}
	p.Call("give its mounts to user namespace", "", unix.SYS_UNSHARE, process.Int(flags))
}
