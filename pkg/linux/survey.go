package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// survey looks at every process in a container's cgroup and at every file they have open, before anything is stopped: for what no image can hold, and
// for the ends of the container's pipes.
func (d *Dump) survey(cgroup string) error {
	s := surveyor{dump: d, init: d.Instance.Pid, pipes: map[[2]uint64]string{}, own: map[string]namespace.ID{}, mounts: map[int]bool{}}
	mounts, err := mountsOf(s.init)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		s.mounts[m.ID] = true
	}
	for _, name := range []string{keeper.FileStdin, keeper.FileStdout, keeper.FileStderr} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(d.node.instanceDir(d.Instance.Name, d.Instance.ID), name), &st); err == nil {
			s.pipes[[2]uint64{st.Dev, st.Ino}] = name
		}
	}
	for _, kind := range surveyed {
		id, err := namespace.OfProcess(s.init, kind)
		if err != nil {
			return err
		}
		s.own[kind] = id
	}
	pids, err := processesIn(cgroup)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := s.process(pid); err != nil && !gone(err) {
			return fmt.Errorf("process %d (%s): %w", pid, comm(pid), err)
		}
	}
	if err := d.watched(s.watches, mounts); err != nil {
		return err
	}
	further, err := filepath.Glob(filepath.Join(cgroup, "*", "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, file := range further {
		if text, _ := os.ReadFile(file); len(text) > 0 && isExec(filepath.Base(filepath.Dir(file))) {
			pid, _, _ := strings.Cut(string(text), "\n")
			return unsupported("it has a further process, %s: who is not a child of the container's first process would be lost\nhint: end the exec sessions, or wait for them", pid)
		}
	}
	return nil
}

func isExec(name string) bool {
	return strings.HasPrefix(name, keeper.ExecPrefix) || strings.HasPrefix(name, keeper.DetachedPrefix)
}

// surveyed are the kinds of namespaces of which a container has one.
var surveyed = []string{"pid", "mnt", "net", "ipc", "uts", "user", "cgroup", "time"}

type surveyor struct {
	dump  *Dump
	init  int
	pipes map[[2]uint64]string // by device and inode, the names of the container's pipes
	own   map[string]namespace.ID
	// mounts are the container's, by their numbers.
	mounts  map[int]bool
	watches []watch
}

// process looks at one process.
func (s *surveyor) process(pid int) error {
	if err := s.descent(pid); err != nil {
		return err
	}
	for kind, own := range s.own {
		id, err := namespace.OfProcess(pid, kind)
		if err != nil {
			return err
		}
		if id != own {
			return unsupported("it has a %s namespace of its own inside the container", kind)
		}
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for _, look := range []func(int) error{s.limits, s.program} {
		if err := look(pid); err != nil {
			return err
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if err := s.file(pid, pidfd, fd); err != nil && !gone(err) {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// descent refuses a process that is no descendant of the container's first one, or that somebody traces.
func (s *surveyor) descent(pid int) error {
	if tracer, err := tracerOf(pid); err == nil && tracer != 0 {
		return unsupported("process %d traces it", tracer)
	}
	for at := pid; at != s.init; {
		stat, err := process.ReadStat(at)
		if err != nil {
			return err
		}
		if at = stat.Parent; at <= 1 {
			return unsupported("it is no descendant of the container's first process, and would be lost")
		}
	}
	return nil
}

// program looks at what a process executes: a file that it sees, or the init that a container is given.
func (s *surveyor) program(pid int) error {
	path := fmt.Sprintf("/proc/%d/exe", pid)
	link, err := os.Readlink(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	mount, err := mountOf(os.Getpid(), int(f.Fd()))
	if err != nil || s.mounts[mount] {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	const hint = "hint: say checkpoint before it is started"
	switch key := fmt.Sprintf("file[%x:%x]", mount, st.Ino); {
	case s.init == pid && s.dump.Instance.Spec.Spec.Init && strings.HasPrefix(link, "/memfd:"):
		return unsupported("its init is in memory of the node's\n" + hint)
	case s.init == pid && s.dump.Instance.Spec.Spec.Init:
		s.dump.Streams[key] = FileInit
		return nil
	case strings.HasPrefix(link, "/memfd:"):
		return unsupported("it executes a file in memory (%s)", link)
	default:
		return unsupported("it executes %s, which is outside of the container", link)
	}
}

// blockers are what links below /proc/PID/fd begin with, and what they say of the file: criu 4.2 saves none of them.
var blockers = []struct{ link, what string }{
	{"anon_inode:[io_uring]", "an io_uring"},
	{"anon_inode:bpf", "a BPF object"},
	{"anon_inode:[perf_event]", "a perf event"},
	{"anon_inode:[userfaultfd]", "a userfaultfd"},
	{"anon_inode:[landlock-ruleset]", "a Landlock ruleset that is not in force yet"},
	{"anon_inode:kvm", "a virtual machine"},
	{"anon_inode:[fanotify]", "an fanotify group"},
	{"/dev/fuse", "a FUSE connection"},
	{"/dev/net/tun", "a TUN device"},
	{"/secretmem", "secret memory"},
}

// file looks at one open file.
func (s *surveyor) file(pid, pidfd, fd int) error {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	link, err := os.Readlink(path)
	if err != nil {
		return err
	}
	for _, b := range blockers {
		if strings.HasPrefix(link, b.link) {
			return unsupported("%s cannot be saved", b.what)
		}
	}
	switch {
	case strings.HasPrefix(link, "socket:"):
		s.dump.sockets[strings.Trim(link, "socket:[]")] = true
		return socket(pidfd, fd)
	case strings.HasPrefix(link, "anon_inode:inotify"):
		more, err := watches(pid, fd)
		s.watches = append(s.watches, more...)
		return err
	}
	if !strings.HasPrefix(link, "/") {
		return nil
	}
	mount, err := mountOf(pid, fd)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	key := fmt.Sprintf("file[%x:%x]", mount, st.Ino)
	kind, isMemory := st.Mode&unix.S_IFMT, strings.HasPrefix(link, "/memfd:")
	switch name := s.pipes[[2]uint64{st.Dev, st.Ino}]; {
	case name != "":
		s.dump.Streams[key] = name
	case kind == unix.S_IFCHR && st.Rdev == null && !s.mounts[mount]:
		s.dump.Streams[key] = FileNull
	case kind == unix.S_IFREG && st.Nlink == 0 && st.Size > GhostLimit && !isMemory:
		return unsupported("%s, of %d bytes, is open but has been removed: more than %d bytes are not put into an image", link, st.Size, GhostLimit)
	case kind == unix.S_IFCHR && !s.mounts[mount] && !s.dump.Users.IsZero() && s.dump.Instance.Spec.Spec.TTY:
		return unsupported("%s is in no mount that the container's users see\nhint: say checkpoint before it is started", link)
	case !isMemory && !s.mounts[mount]:
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err == nil && fs.Type == mqueueMagic {
			return unsupported("the POSIX message queue %s cannot be saved", link)
		}
		return unsupported("%s is outside of the container", link)
	}
	return nil
}

const mqueueMagic = 0x19800202 // MQUEUE_MAGIC of ipc/mqueue.c

// null is the number of the null device, see null(4).
var null = unix.Mkdev(1, 3)

// GhostLimit is how large a file may be that is open but has no name any more.
const GhostLimit = 256 << 20

// socket refuses sockets of kinds that cannot be saved.
func socket(pidfd, fd int) error {
	own, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return err
	}
	defer unix.Close(own)
	family, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	protocol, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return err
	}
	switch {
	case family == unix.AF_VSOCK:
		return unsupported("a vsock socket cannot be saved")
	case protocol == unix.IPPROTO_MPTCP:
		return unsupported("a multipath TCP socket cannot be saved: servers in Go 1.24 and later listen so\nhint: sysctls: {net.mptcp.enabled: \"0\"}, which is what a container has that says checkpoint from the beginning, or GODEBUG=multipathtcp=0")
	case !slices.Contains([]int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET}, family):
		return unsupported("a socket of family %d cannot be saved", family)
	}
	return nil
}

// mountOf is the number of the mount that an open file is on, see proc_pid_fdinfo(5).
func mountOf(pid, fd int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return 0, err
	}
	return number(string(text), "mnt_id:")
}

// tracerOf is the process that traces another, 0 for none.
func tracerOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return number(string(text), "TracerPid:")
}

// number is what a line of a file in /proc says.
func number(text, key string) (int, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("no %q: %w", key, fs.ErrNotExist)
}

// processesIn are the processes of a cgroup and of those that the container has made below.
func processesIn(cgroup string) (pids []int, err error) {
	text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	below, err := os.ReadDir(cgroup)
	if err != nil {
		return nil, err
	}
	for _, entry := range below {
		if !entry.IsDir() || isExec(entry.Name()) {
			continue
		}
		more, err := processesIn(filepath.Join(cgroup, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

// mountsOf are the mounts that a process sees.
func mountsOf(pid int) (mounts []proc.Mount, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if m, ok := proc.ParseMount(line); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

func comm(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text))
}

// gone tells whether an error is of a process, or a file of one, that has gone meanwhile.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EBADF)
}

func unsupported(format string, args ...any) error {
	return &classed{fmt.Errorf(format, args...), errors.ErrUnsupported}
}
