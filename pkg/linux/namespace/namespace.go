// Package namespace says which kernel namespaces a container's first process gets: made with it, joined by descriptor, or
// left as the starter's. It knows clone flags and setns; it refuses to know what is done inside (mount, network) and who keeps them.
//
//	kind              a container's own is made by     joined
//	net, ipc, uts     package network, NewIn           before anything else, also at the first start
//	user              NewUser                          late: JoinUser, when the node's superuser has built everything
//	pid, mnt, time    clone3 or unshare, at a start    pid by Program.PidNS; mnt and time never
//	cgroup            clone3 or unshare, at a start    with the others
//
// A further process is in all of them at once, by the pidfd of the first: Enter, EnterTime, EnterUser.
package namespace

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Names of the descriptors a program of Append uses: the namespaces that it joins, as they are called below /proc/PID/ns.
const (
	FilePID    = "pid"
	FileNet    = "net"
	FileIPC    = "ipc"
	FileUTS    = "uts"
	FileCgroup = "cgroup"
	FileUser   = "user"
)

// Source says where a namespace of a process comes from.
type Source int

// The sources.
const (
	New    Source = iota // made with the process
	Joined               // that of a descriptor
	Node                 // that of the starter, which is the node's
)

// Plan is the choice of namespaces for one start. The mount namespace is always new.
type Plan struct {
	PID, Net, IPC, UTS, Cgroup Source
	// Hostname is set in the UTS namespace; "" leaves the name it has.
	Hostname string
	// Domainname is the NIS domain name there; "" leaves the one it has, which a new namespace has of its maker's.
	Domainname string
	// Clocks are the container's.
	Clocks Clocks
	// Moves says that the process enters cgroups by itself (cgroup.Enter on a host with v1 hierarchies), instead of being
	// cloned into the only one.
	Moves bool
}

// NewPlan is the choice of a container whose sandbox, see Sandbox, is there already: what of it is the container's own is joined.
func NewPlan(s spec.ContainerSpec) Plan {
	var p Plan
	for _, k := range Kinds {
		*k.source(&p) = k.Wanted(s)
		if k.Sandbox && k.Wanted(s) == New {
			*k.source(&p) = Joined
		}
	}
	if s.Namespaces.UTS == "" || s.Namespaces.UTS == spec.NamespacePrivate {
		p.Hostname, p.Domainname = s.Hostname, s.Domainname
		if p.Domainname == "" && s.Base != spec.BaseNone {
			p.Domainname = noDomainname
		}
	}
	return p
}

// noDomainname is the kernel's word for no NIS domain name, linux/uts.h.
const noDomainname = "(none)"

// Append sets p.Clone and adds the ops that put the child into its namespaces. They come after it has entered its cgroups
// and before everything that depends on a namespace: sysfs shows the network namespace it is mounted in, mqueue the ipc namespace, cgroup2
// the cgroup namespace.
//
// Where the processes of another's pid namespace see the child, it parks first of all: only for a moment they see one that has the
// starter's memory.
//
// A cgroup namespace is rooted where its maker is (cgroup_namespaces(7)): with v1 hierarchies to enter it is unshared
// after the moves; without, clone3 makes it together with CLONE_INTO_CGROUP.
func Append(p *process.Program, plan Plan) {
	p.Clone |= unix.CLONE_NEWNS
	if plan.PID == Joined {
		p.PidNS = FilePID
		p.File(FilePID)
		park(p)
	}
	for _, k := range Kinds {
		switch *k.source(&plan) {
		case New:
			k.make(p, plan)
		case Joined:
			k.join(p)
		}
	}
	if name := []byte(plan.Hostname); len(name) > 0 {
		p.Call("set hostname", plan.Hostname, unix.SYS_SETHOSTNAME, process.Data(name), process.Int(len(name)))
	}
	if name := []byte(plan.Domainname); len(name) > 0 {
		p.Call("set domainname", plan.Domainname, unix.SYS_SETDOMAINNAME, process.Data(name), process.Int(len(name)))
	}
	plan.Clocks.append(p)
}

// make adds what makes a namespace with the child.
func (k Kind) make(p *process.Program, plan Plan) {
	if k.Name == FileCgroup && plan.Moves {
		p.Call("make cgroup namespace", "", unix.SYS_UNSHARE, process.Int(k.Flag))
		return
	}
	p.Clone |= uint64(k.Flag)
}

// join adds what puts the child into a namespace. That of processes counts for children only: the child is made in it.
func (k Kind) join(p *process.Program) {
	if k.Flag == unix.CLONE_NEWPID {
		return
	}
	p.Call("join namespace", k.Name, unix.SYS_SETNS, p.File(k.Name), process.Int(k.Flag))
}
