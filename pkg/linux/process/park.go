package process

import (
	"os"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process/parker"
)

// parks in place of a system call's number makes an op the park point.
const parks = 1<<32 - 1

// Park appends the park point. There the child executes a tiny program that goes on with the rest of this one in memory of
// its own, so that it no longer suspends the starter's thread and may wait for others as long as they take. Only
// StartParked runs a program with a park point.
//
// To the kernel it is an execve(2) by whoever the child is then: capabilities and the dumpable flag are computed anew, a
// new time namespace is entered, an AppArmor or SELinux label that waits for execution is taken. So a program parks before
// it changes its user or prepares its command, and not in a user namespace where it is nobody yet. Across it go the
// descriptors that later ops use (files, and slots that a call with a descriptor as its result has filled), and others only
// if they are not close-on-exec. The child is not dumpable until it executes its command.
func (p *Program) Park() { p.Call("park", "", parks) }

// Parks tells whether the program has a park point, and so needs StartParked.
func (p *Program) Parks() bool { return p.parkPoint() >= 0 }

// parkPoint is the index of the op at which the program parks, or -1.
func (p *Program) parkPoint() int { return p.point(parks) }

// point is the index of the first op with a number, or -1.
func (p *Program) point(nr uint32) int {
	return slices.IndexFunc(p.Ops, func(op Op) bool { return op.Nr == nr })
}

// bare tells whether an op is nothing but its name and number.
func (op *Op) bare() bool {
	for i := range op.Args {
		if arg := &op.Args[i]; arg.Kind != ArgInt || arg.Int != 0 {
			return false
		}
	}
	return op.Out == 0 && op.Accept == Errnos{} && op.Skip == 0 && op.Else == 0
}

// parking is a program that is rewritten so that its park point is a system call.
type parking struct {
	program Program // with slots of its own
	at      int
	more    []added
}

// newParking needs the parker's file, the image's, and the child's end of the pipe that closes as it executes its command.
func newParking(p *Program, stub, image, report *os.File) (*parking, error) {
	k := &parking{program: *p, at: p.parkPoint()}
	k.program.Ops = slices.Clone(p.Ops)
	var own [3]Arg
	for i, file := range []*os.File{stub, image, report} {
		fd, err := number(file)
		if err != nil {
			return nil, err
		}
		own[i] = Int(fd)
	}
	op := &k.program.Ops[k.at]
	op.Nr = unix.SYS_EXECVEAT
	op.Args = [6]Arg{own[0], Str(""), {}, {}, Int(unix.AT_EMPTY_PATH)}
	k.lead(0, 0, 0)                                                // takes as many bytes as any other
	k.add(k.at, unix.SYS_FCNTL, own[1], Int(unix.F_SETFD), Int(0)) // the parker closes it
	for _, fd := range append(k.program.descriptorsOf(k.at), own[2]) {
		k.keep(fd)
	}
	sort.SliceStable(k.more, func(i, j int) bool { return k.more[i].before < k.more[j].before })
	return k, nil
}

// lead tells the parker where the image is.
func (k *parking) lead(fd int, address, size uintptr) {
	k.program.Ops[k.at].Args[2] = Strs(parker.Arguments(fd, address, size))
}

// add puts a call before an op.
func (k *parking) add(before int, nr uint32, args ...Arg) *Op {
	k.more = append(k.more, added{before: before, of: k.at, op: Op{Nr: nr}})
	op := &k.more[len(k.more)-1].op
	copy(op.Args[:], args)
	return op
}

// keep has a descriptor survive the park point and be close-on-exec behind it again, if it was. What is none has nothing to survive.
func (k *parking) keep(fd Arg) {
	none := Accept(unix.EBADF)
	flags := k.program.Slot()
	get := k.add(k.at, unix.SYS_FCNTL, fd, Int(unix.F_GETFD))
	get.Out, get.Accept = flags, none
	k.add(k.at, unix.SYS_FCNTL, fd, Int(unix.F_SETFD), Int(0)).Accept = none
	k.add(k.at+1, unix.SYS_FCNTL, fd, Int(unix.F_SETFD), In(flags)).Accept = none
}

// makesDescriptor are the calls whose result is, or can be, a new descriptor.
var makesDescriptor = map[uint32]bool{
	unix.SYS_ACCEPT4:                 true,
	unix.SYS_BPF:                     true,
	unix.SYS_DUP:                     true,
	unix.SYS_DUP3:                    true,
	unix.SYS_EPOLL_CREATE1:           true,
	unix.SYS_EVENTFD2:                true,
	unix.SYS_FANOTIFY_INIT:           true,
	unix.SYS_FCNTL:                   true, // F_DUPFD
	unix.SYS_FSMOUNT:                 true,
	unix.SYS_FSOPEN:                  true,
	unix.SYS_FSPICK:                  true,
	unix.SYS_INOTIFY_INIT1:           true,
	unix.SYS_IOCTL:                   true, // TIOCGPTPEER
	unix.SYS_IO_URING_SETUP:          true,
	unix.SYS_LANDLOCK_CREATE_RULESET: true,
	unix.SYS_MEMFD_CREATE:            true,
	unix.SYS_MQ_OPEN:                 true,
	unix.SYS_OPENAT:                  true,
	unix.SYS_OPENAT2:                 true,
	unix.SYS_OPEN_BY_HANDLE_AT:       true,
	unix.SYS_OPEN_TREE:               true,
	unix.SYS_OPEN_TREE_ATTR:          true,
	unix.SYS_PERF_EVENT_OPEN:         true,
	unix.SYS_PIDFD_GETFD:             true,
	unix.SYS_PIDFD_OPEN:              true,
	unix.SYS_SECCOMP:                 true, // SECCOMP_FILTER_FLAG_NEW_LISTENER
	unix.SYS_SIGNALFD4:               true,
	unix.SYS_SOCKET:                  true,
	unix.SYS_TIMERFD_CREATE:          true,
	unix.SYS_USERFAULTFD:             true,
}
