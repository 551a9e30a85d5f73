package criu

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// Options say what a Dump, PreDump or Restore works on, and how. criu never touches cgroups: who starts it owns them. Fields of the
// other direction change nothing.
type Options struct {
	// ImagesDir is where the image is, or is to be; WorkDir is where log and statistics go, and the lazy pages' socket is. Default of WorkDir: ImagesDir.
	ImagesDir, WorkDir *os.File
	// Parent is the image that this one is written on top of, as a path from ImagesDir (../ID): pages that did not change since are left out.
	Parent string
	// Pid is the first process of what is dumped.
	Pid int
	// Root is the restored processes' root: a mount point, as criu sees it.
	Root string

	// Externals are what is not part of the image: Mount, Namespace and File make them.
	Externals []string
	// Inherit are criu's descriptors by the key of the external thing that each stands for at a restore.
	Inherit map[string]int
	// JoinNamespaces are namespaces that restored processes join instead of having what the image says: user, uts, ipc, time...
	JoinNamespaces []JoinNamespace

	// EmptyNetwork leaves out what is in the processes' network namespace. A restore makes one with nothing but lo in it, which is down, keeps packets out of it until all
	// is done, and lets Notify.PostSetupNamespaces fill it. A user namespace cannot be restored with an external network namespace, which would have to belong to it.
	EmptyNetwork bool

	// FreezeCgroup is the freezer that the processes are in already, or are to be stopped with. Default: criu stops each by ptrace, which
	// ends with criu whatever becomes of it.
	FreezeCgroup string
	// LeaveRunning lets dumped processes go on.
	LeaveRunning bool
	// TCPEstablished keeps open connections; TCPClose closes them at the restore. With neither, one open connection is an error.
	TCPEstablished, TCPClose bool
	// TCPSkipInFlight leaves out connections that are half open at a dump.
	TCPSkipInFlight bool
	// FileLocks saves file locks. Without it, one is an error.
	FileLocks bool
	// Watched are paths in the container where what is watched with inotify may be, if its number cannot be opened.
	Watched []string
	// UnixExternal lets stream sockets be connected to ones outside, which are lost.
	UnixExternal bool
	// ShellJob allows a session or a terminal that began outside. OrphanPTSMaster does so with terminals alone, see Notify.
	ShellJob, OrphanPTSMaster bool
	// NetworkLock is how packets are held while connections are dumped or restored. Default: NFTables.
	NetworkLock NetworkLock
	// GhostLimit is the size up to which deleted files that are open are saved. Default: 1 MiB.
	GhostLimit uint32
	// LinkRemap gives deleted files that have another name still a name for the time of the image.
	LinkRemap bool

	// LazyPages restores processes without their memory, see Tool.LazyCommand.
	LazyPages bool
	// TrackMemory has the kernel mark the pages that change from now on. AutoDedup drops pages from the parent that this image has anew.
	TrackMemory, AutoDedup bool

	// PageServer is where memory waits for a restore elsewhere instead of being written, with LazyPages.
	PageServer PageServer

	// LSMProfile is the security label of restored processes, with its module: apparmor:NAME. Default: the image's.
	LSMProfile string
	// LSMMountContext is the SELinux context of restored file systems. Default: the image's.
	LSMMountContext string
	// SiblingOfCaller makes the restored first process a child of criu's parent.
	SiblingOfCaller bool
	// WeakSysctls lets a restore go on where the kernel does not know a sysctl of the image.
	WeakSysctls bool
	// CPU is what of the processor must be as it was. Default: CPUDefault.
	CPU CPU

	// LogLevel is from 1 (errors) to 4 (all); from 3 on lines have times. Default: 2. A restore that goes wrong in the restored process writes
	// without end: more than 2 is for who watches the log.
	LogLevel int
	// Timeout bounds how long criu tries to stop the processes. It is whole seconds, rounded up. Default: 10s.
	Timeout time.Duration
}

// PageServer is where memory is to be had.
type PageServer struct {
	Address string
	Port    int
}

// JoinNamespace is a namespace that is joined at a restore.
type JoinNamespace struct {
	Kind string // uts, ipc, user, time, net
	Path string // as criu sees it
	// Extra is UID,GID for a user namespace.
	Extra string
}

// NetworkLock is how packets are held back.
type NetworkLock string

// The ways to hold packets back. criu has its own nftables, but runs iptables-restore.
const (
	NFTables NetworkLock = "nftables"
	IPTables NetworkLock = "iptables"
	NoLock   NetworkLock = "skip"
)

// CPU is what of the processor is written into an image and must agree at its restore.
type CPU string

// The words of CPU.
const (
	CPUDefault      CPU = ""             // nothing is written; the state of each process's floating point unit must fit
	CPUNone         CPU = "none"         // nothing is compared
	CPUFloat        CPU = "fpu"          // the floating point unit's state can be loaded
	CPUInstructions CPU = "instructions" // all instructions that were there are there
	CPUSame         CPU = "cpu"          // the same model
)

// The files of one verb in the work directory.
const (
	DumpLog    = "dump.log"
	RestoreLog = "restore.log"
	LazyLog    = "lazy-pages.log"
	CPULog     = "cpuinfo.log"
)

// Mount makes an external mount. At a dump: the path in the container, and the key that the image knows it by. At a restore: the key, and the path as
// criu sees it.
func Mount(from, to string) string { return "mnt[" + from + "]:" + to }

// Namespace makes an external namespace (net, pid) of a dump; at the restore Options.Inherit has its key.
func Namespace(kind string, inode uint64, key string) string {
	return fmt.Sprintf("%s[%d]:%s", kind, inode, key)
}

// File makes an external file, pipe or terminal of a dump; at the restore Options.Inherit has the same string as its key. Mount is the id of its mount, as
// /proc/PID/fdinfo shows it.
func File(mount int, inode uint64) string { return fmt.Sprintf("file[%x:%x]", mount, inode) }

// errNoPid tells of the trap in criu's protocol: without a process it dumps the one that asks.
var errNoPid = fmt.Errorf("no process is named: %w", fs.ErrInvalid)

// check finds what criu would misunderstand.
func (o Options) check(kind rpc.CriuReqType) error {
	dumps := kind == rpc.CriuReqType_DUMP || kind == rpc.CriuReqType_SINGLE_PRE_DUMP
	switch {
	case o.ImagesDir == nil:
		return fmt.Errorf("no directory for the image: %w", fs.ErrInvalid)
	case dumps && (o.Pid <= 1 || o.Pid > math.MaxInt32):
		return errNoPid
	case strings.HasPrefix(o.Parent, "/"):
		return fmt.Errorf("parent %s is no path from the image's directory: %w", o.Parent, fs.ErrInvalid)
	case o.TCPEstablished && o.TCPClose:
		return fmt.Errorf("connections cannot be both kept and closed: %w", fs.ErrInvalid)
	}
	var problems []error
	for key, fd := range o.Inherit {
		if fd < 0 || fd > math.MaxInt32 {
			problems = append(problems, fmt.Errorf("descriptor %d for %s: %w", fd, key, fs.ErrInvalid))
		}
	}
	return errors.Join(problems...)
}

// request makes criu's words of the project's. It is the only place that knows both.
func (o Options) request(kind rpc.CriuReqType) *rpc.CriuReq {
	opts := &rpc.CriuOpts{
		ImagesDirFd:       new(int32(fd(o.ImagesDir))),
		WorkDirFd:         new(int32(fd(cmp.Or(o.WorkDir, o.ImagesDir)))),
		LogFile:           new(logOf[kind]),
		LogLevel:          new(int32(cmp.Or(o.LogLevel, 2))),
		NotifyScripts:     new(true),
		ManageCgroups:     new(false), // what criu older than 2.0 knows
		ManageCgroupsMode: rpc.CriuCgMode_IGNORE.Enum(),
		NetworkLock:       networkLocks[cmp.Or(o.NetworkLock, NFTables)].Enum(),
		CpuCap:            cpuCaps[o.CPU],

		ParentImg:       said(o.Parent),
		Root:            said(o.Root),
		FreezeCgroup:    said(o.FreezeCgroup),
		LsmProfile:      said(o.LSMProfile),
		LsmMountContext: said(o.LSMMountContext),
		Pid:             said(int32(o.Pid)),
		GhostLimit:      said(o.GhostLimit),
		Timeout:         said(uint32((o.Timeout + time.Second - 1) / time.Second)),
		External:        slices.Clone(o.Externals),
		IrmapScanPaths:  slices.Clone(o.Watched),
		LeaveRunning:    said(o.LeaveRunning),
		TcpEstablished:  said(o.TCPEstablished),
		TcpClose:        said(o.TCPClose),
		TcpSkipInFlight: said(o.TCPSkipInFlight),
		FileLocks:       said(o.FileLocks),
		ExtUnixSk:       said(o.UnixExternal),
		ShellJob:        said(o.ShellJob),
		OrphanPtsMaster: said(o.OrphanPTSMaster),
		LinkRemap:       said(o.LinkRemap),
		LazyPages:       said(o.LazyPages),
		TrackMem:        said(o.TrackMemory),
		AutoDedup:       said(o.AutoDedup),
		RstSibling:      said(o.SiblingOfCaller && kind == rpc.CriuReqType_RESTORE), // criu refuses it with a dump
		WeakSysctls:     said(o.WeakSysctls),
		EmptyNs:         said(emptyNamespaces(o)),
	}
	if o.PageServer.Port != 0 {
		opts.Ps = &rpc.CriuPageServerInfo{Address: said(o.PageServer.Address), Port: new(int32(o.PageServer.Port))}
	}
	for _, key := range slices.Sorted(maps.Keys(o.Inherit)) {
		opts.InheritFd = append(opts.InheritFd, &rpc.InheritFd{Key: new(key), Fd: new(int32(o.Inherit[key]))})
	}
	for _, ns := range o.JoinNamespaces {
		opts.JoinNs = append(opts.JoinNs, &rpc.JoinNamespace{Ns: new(ns.Kind), NsFile: new(ns.Path), ExtraOpt: said(ns.Extra)})
	}
	return &rpc.CriuReq{Type: kind.Enum(), Opts: opts}
}

func emptyNamespaces(o Options) uint32 {
	if o.EmptyNetwork {
		return unix.CLONE_NEWNET
	}
	return 0
}

// said is nil for a zero value.
func said[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func fd(f *os.File) int { return int(f.Fd()) }

var logOf = map[rpc.CriuReqType]string{
	rpc.CriuReqType_DUMP:            DumpLog,
	rpc.CriuReqType_SINGLE_PRE_DUMP: DumpLog,
	rpc.CriuReqType_RESTORE:         RestoreLog,
	rpc.CriuReqType_CPUINFO_DUMP:    CPULog,
	rpc.CriuReqType_CPUINFO_CHECK:   CPULog,
}

var networkLocks = map[NetworkLock]rpc.CriuNetworkLockMethod{
	NFTables: rpc.CriuNetworkLockMethod_NFTABLES,
	IPTables: rpc.CriuNetworkLockMethod_IPTABLES,
	NoLock:   rpc.CriuNetworkLockMethod_SKIP,
}

// cpuCaps are criu/include/cr_options.h's CPU_CAP_ bits. Any but none writes them into the image.
var cpuCaps = map[CPU]*uint32{
	CPUNone:         new(uint32(0)),
	CPUFloat:        new(uint32(1)),
	CPUSame:         new(uint32(1 | 2 | 4)),
	CPUInstructions: new(uint32(1 | 4)),
}
