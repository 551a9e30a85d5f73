package start

import (
	"encoding/binary"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Tool is a program of the node that saves a container's processes, or makes them again. It keeps the privileges of who starts it; it has a
// mount namespace of its own, in which /run is FileRun, a file system in memory.
type Tool struct {
	// Argv is its path and its arguments.
	Argv []string
	// Files are the names of the descriptors that it finds from 3 on.
	Files []string
	// Stdio are the names of its first three descriptors, "" for a null device.
	Stdio [3]string
	// InNetwork tells that it is in the container's network, of which namespace.FileNet is the file, and not in the node's: then it sees nothing there that is
	// another's, and asks the kernel for none of it.
	InNetwork bool
}

// FileRun is a detached mount that a tool's program consumes.
const FileRun = "run"

// Stage is where a tool finds the tree of the container that it is to restore.
const Stage = toolRun + "/root"

const toolRun = "/run"

// ComposeAside writes the program of a tool in a cgroup of its own, whose files the caller brings, and FileRun; without files it is where the starter is. It outlives
// who starts it: in the middle of other processes it is not to be killed, but to be told to give up. Where it exceeds RLIMIT_FSIZE it has an error instead
// of a signal.
func (t Tool) ComposeAside(p *process.Program, files map[string]*os.File) {
	if len(files) > 0 {
		cgroup.Enter(p, files)
	}
	p.Clone |= unix.CLONE_NEWNS
	if t.InNetwork {
		p.Call("join network", namespace.FileNet, unix.SYS_SETNS, p.File(namespace.FileNet), process.Int(unix.CLONE_NEWNET))
	}
	t.begin(p)
	p.Call("ignore", "SIGXFSZ", unix.SYS_RT_SIGACTION, process.Int(unix.SIGXFSZ), process.Data(ignored()), process.Int(0), process.Int(sizeofSignals))
	t.execute(p)
}

const (
	sizeofSignals = 8     // of the kernel's sigset_t
	sizeofAction  = 4 * 8 // of its struct sigaction: handler, flags, restorer, mask
	ignore        = 1     // SIG_IGN
)

func ignored() []byte {
	return binary.NativeEndian.AppendUint64(make([]byte, 0, sizeofAction), ignore)[:sizeofAction]
}

// ComposeRestore writes the program of a tool that makes a container's processes again, and dies with the thread that starts it: it is in the container's cgroups, and in its cgroup and UTS
// namespaces; the plan's tree is at Stage. Its network is the node's unless t says otherwise: packets may be locked out of the
// container's. The caller brings the files of the namespaces, of the tool and of user, as for Compose, and FileRun. Without a group somebody has to move it: of the
// plan's steps Entered is taken. A network of its own is there while the tree is built, and no longer: who restores makes another one.
func (plan Plan) ComposeRestore(p *process.Program, t Tool, group *cgroup.Group, user *os.File) (files Files, err error) {
	files.ByName = map[string]*os.File{}
	if group != nil {
		if files.ByName, err = group.Files(); err != nil {
			return files, err
		}
		cgroup.Enter(p, files.ByName)
	}
	add(p, plan.Steps.Entered)
	names := plan.Namespace
	names.Moves = len(files.ByName) != 1
	names.PID, names.Clocks = namespace.Node, namespace.Clocks{} // the image has what was in them
	if names.IPC == namespace.New {
		names.IPC = namespace.Node
	}
	const ownNet = "/proc/self/ns/net"
	net := p.CallFD("open own network", ownNet, unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str(ownNet), process.Int(unix.O_RDONLY|unix.O_CLOEXEC))
	own := names.Net == namespace.New
	if own { // made later: the child begins in the network that it returns to
		names.Net = namespace.Node
	}
	namespace.Append(p, names)
	if own {
		p.Call("make network", "", unix.SYS_UNSHARE, process.Int(unix.CLONE_NEWNET))
	}
	t.begin(p)
	plan.Mount.Stage = Stage
	plan.Mount.Sysctls = slices.DeleteFunc(slices.Clone(plan.Mount.Sysctls), func(s mount.Sysctl) bool { return !s.IsNetwork() }) // others would be the node's
	if names.IPC == namespace.Node {                                                                                              // the queues are the node's, and not to be given away
		plan.Mount.Mounts = slices.Clone(plan.Mount.Mounts)
		for i := range plan.Mount.Mounts {
			if m := &plan.Mount.Mounts[i]; m.Type == spec.MountMqueue {
				m.Give = nil
			}
		}
	}
	p.Call("make stage", Stage, unix.SYS_MKDIRAT, process.Int(unix.AT_FDCWD), process.Str(Stage), process.Int(0o755))
	mount.AppendStage(p, plan.Mount)
	if !t.InNetwork {
		p.Call("return to own network", ownNet, unix.SYS_SETNS, net, process.Int(unix.CLONE_NEWNET))
	}
	attribute.Restored(p, plan.Attribute)
	p.Prctl("die with the parent", "", unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL))
	t.execute(p)
	err = files.open(plan, user)
	return files, err
}

// begin makes the tool's own /run.
func (t Tool) begin(p *process.Program) {
	p.Call("make mounts private", "/", unix.SYS_MOUNT, process.Str("none"), process.Str("/"), process.Int(0), process.Int(unix.MS_REC|unix.MS_PRIVATE))
	p.Call("mount tmpfs", toolRun, unix.SYS_MOVE_MOUNT, p.File(FileRun), process.Str(""), process.Int(unix.AT_FDCWD), process.Str(toolRun), process.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// execute adds the end of the program.
func (t Tool) execute(p *process.Program) {
	const step = "set up descriptors"
	all := append(t.Stdio[:], t.Files...)
	moved := make([]process.Arg, len(all))
	for i, name := range all { // out of the way of one another
		from, shown := process.Arg{}, name
		if name == "" {
			shown = os.DevNull
			from = p.CallFD(step, shown, unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str(os.DevNull), process.Int(unix.O_RDWR|unix.O_CLOEXEC))
		} else {
			from = p.File(name)
		}
		moved[i] = p.CallFD(step, shown, unix.SYS_FCNTL, from, process.Int(unix.F_DUPFD_CLOEXEC), process.Int(len(all)))
	}
	for i, name := range all {
		p.Call(step, name, unix.SYS_DUP3, moved[i], process.Int(i), process.Int(0))
	}
	p.Call("set umask", "", unix.SYS_UMASK, process.Int(0o022))
	p.Call("unblock signals", "", unix.SYS_RT_SIGPROCMASK, process.Int(unix.SIG_SETMASK), process.Data(make([]byte, sizeofSignals)), process.Int(0), process.Int(sizeofSignals))
	p.Call("make session", "", unix.SYS_SETSID)
	p.Call("enter root", "/", unix.SYS_CHDIR, process.Str("/"))
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(len(all)), process.Int(^uint32(0)), process.Int(0))
	p.Call("execute", t.Argv[0], unix.SYS_EXECVE, process.Str(t.Argv[0]), process.Strs(t.Argv), process.Strs(toolEnv))
}

// toolEnv is all the environment that a tool has.
var toolEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
