// Package namespace says which kernel namespaces a container's first process gets: made with it, or joined by
// descriptor. It knows clone flags and setns; it refuses to know what is done inside (mount, network) and who keeps them.
package namespace

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Names of the descriptors a program of Append uses.
const (
	FileNet = "net" // the sandbox's namespaces
	FileIPC = "ipc"
	FileUTS = "uts"
)

// Plan is the choice of namespaces for one start. Process, mount and cgroup namespaces are always new.
type Plan struct {
	// HostNetwork leaves the process in the network namespace of its parent instead of joining FileNet.
	HostNetwork bool
	// Hostname is set in the joined UTS namespace; "" leaves the name it has.
	Hostname string
	// Moves says that the process enters cgroups by itself (cgroup.Enter on a host with v1 hierarchies), instead of being
	// cloned into the only one.
	Moves bool
}

// joins are the namespaces of the sandbox, in the order in which they are joined.
var joins = []struct {
	file string
	flag uint64
}{
	{FileNet, unix.CLONE_NEWNET},
	{FileIPC, unix.CLONE_NEWIPC},
	{FileUTS, unix.CLONE_NEWUTS},
}

// Append sets p.Clone and adds the ops that put the child into its namespaces. They come after it has entered its cgroups
// and before everything that depends on a namespace: sysfs shows the network namespace it is mounted in, mqueue the ipc namespace, cgroup2
// the cgroup namespace.
//
// A cgroup namespace is rooted where its maker is (cgroup_namespaces(7)): with v1 hierarchies to enter it is unshared
// after the moves; without, clone3 makes it together with CLONE_INTO_CGROUP.
func Append(p *process.Program, plan Plan) {
	p.Clone |= unix.CLONE_NEWPID | unix.CLONE_NEWNS
	if !plan.Moves {
		p.Clone |= unix.CLONE_NEWCGROUP
	} else {
		p.Call("make cgroup namespace", "", unix.SYS_UNSHARE, process.Int(unix.CLONE_NEWCGROUP))
	}
	for _, j := range joins {
		if j.file == FileNet && plan.HostNetwork {
			continue
		}
		p.Call("join namespace", j.file, unix.SYS_SETNS, p.File(j.file), process.Int(j.flag))
	}
	if plan.Hostname != "" {
		name := []byte(plan.Hostname)
		p.Call("set hostname", plan.Hostname, unix.SYS_SETHOSTNAME, process.Data(name), process.Int(len(name)))
	}
}
