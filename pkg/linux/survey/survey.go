// Package survey looks at the processes of a container before an image is taken of them, and at the tree that a restored one is to have: which mounts, files and
// network are the node's, and what no image can hold. It stops and changes nothing; it refuses to know where a container's words come from, and who
// takes the image.
package survey

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

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// File is a file of the node's, by device and inode.
type File struct{ Dev, Ino uint64 }

// Processes are those of a container.
type Processes struct {
	// Init is the first of them, which all others descend from.
	Init int
	// Cgroup is the directory of theirs in the unified hierarchy.
	Cgroup string
	// Apart tells which cgroups below that are of processes that are no descendants, by their names; nil for none.
	Apart func(name string) bool
	// Outside are files of the node that processes may have open: what each is called. A null device that is outside is called Null.
	Outside map[File]string
	// InitFile is what the program of the first process is called if the container was given it and does not have it itself; "" for none.
	InitFile string
	// UserTerminal tells that it has a terminal and users of its own.
	UserTerminal bool
}

// Null is what null devices are called that the container does not have mounted: one of the node's, or one that was opened while its tree was built.
const Null = "null"

// Found is what was found.
type Found struct {
	// Open are the files that are outside and open, as criu names them, file[MOUNT:INODE]: what each is called.
	Open map[string]string
	// Watched are the paths of what is waited for with inotify and cannot be found by its number.
	Watched []string
	// Sockets are those that the processes have open, by their inodes.
	Sockets map[string]bool
}

// Look looks at every process and at every file they have open, before anything is stopped. What no image can hold is errors.ErrUnsupported and says which
// process and file it is about.
func (p Processes) Look() (Found, error) {
	s := surveyor{Processes: p, found: Found{Open: map[string]string{}, Sockets: map[string]bool{}}, own: map[string]namespace.ID{}, mounts: map[int]bool{}}
	mounts, err := MountsOf(p.Init)
	if err != nil {
		return s.found, err
	}
	for _, m := range mounts {
		s.mounts[m.ID] = true
	}
	for _, kind := range surveyed {
		id, err := namespace.OfProcess(s.Init, kind)
		if err != nil {
			return s.found, err
		}
		s.own[kind] = id
	}
	pids, err := Pids(p.Cgroup, p.Apart)
	if err != nil {
		return s.found, err
	}
	for _, pid := range pids {
		if err := s.process(pid); err != nil && !Gone(err) && !hidden(err, pid) {
			return s.found, fmt.Errorf("process %d (%s): %w", pid, comm(pid), err)
		}
	}
	if err := s.watched(mounts); err != nil {
		return s.found, err
	}
	return s.found, p.strays()
}

// strays refuses a container with processes apart.
func (p Processes) strays() error {
	further, err := filepath.Glob(filepath.Join(p.Cgroup, "*", "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, file := range further {
		if text, _ := os.ReadFile(file); len(text) > 0 && p.Apart != nil && p.Apart(filepath.Base(filepath.Dir(file))) {
			pid, _, _ := strings.Cut(string(text), "\n")
			return unsupported("it has a further process, %s: who is not a child of the container's first process would be lost\nhint: end the exec sessions, or wait for them", pid)
		}
	}
	return nil
}

// hidden tells whether nobody may look at a process any more because it ends, or has ended since.
func hidden(err error, pid int) bool {
	if !errors.Is(err, fs.ErrPermission) {
		return false
	}
	stat, failed := process.ReadStat(pid)
	return failed == nil && (stat.Exiting || stat.Dead()) || failed != nil && Gone(failed)
}

// surveyed are the kinds of namespaces of which a container has one.
var surveyed = []string{"pid", "mnt", "net", "ipc", "uts", "user", "cgroup", "time"}

type surveyor struct {
	Processes
	found Found
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
		if err := s.file(pidfd, fd); err != nil && !Gone(err) {
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
	top, err := s.top(pid)
	for try := 1; err == nil && top == 0 && try < descentTries; try++ { // somebody on the way has just ended: its children have another parent by now
		top, err = s.top(pid)
	}
	if err != nil || top == s.Init {
		return err
	}
	if unix.Kill(pid, 0) == unix.ESRCH {
		return unix.ESRCH // it has ended itself
	}
	return unsupported("it is no descendant of the container's first process, and would be lost")
}

// descentTries is how often a process's descent is looked at whose ancestors end meanwhile.
const descentTries = 10

// top follows a process's ancestors up to the container's first process, or to the node's, 1; one that is ending has none, 0.
func (s *surveyor) top(pid int) (int, error) {
	for at := pid; ; {
		if at == s.Init || at <= 1 {
			return at, nil
		}
		stat, err := process.ReadStat(at)
		if err != nil && at != pid && Gone(err) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		at = stat.Parent
	}
}

// limits refuses a process whose limits cannot be read by this node, which criu finds out only when it stands still.
func (s *surveyor) limits(pid int) error {
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_CPU, nil, &limit)
	if err == unix.EPERM {
		return unsupported("it is another user's than root, whose limits cannot be read without CAP_SYS_RESOURCE\nhint: give it to the agent, or say namespaces.user.mode: Auto")
	}
	return err
}

// External is a file from outside as criu names it, by the number of its mount.
func External(mount int, inode uint64) string { return fmt.Sprintf("file[%x:%x]", mount, inode) }

// program looks at what a process executes: a file that it sees, or the init that a container is given.
func (s *surveyor) program(pid int) error {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/exe", pid), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	mount, err := mountOf(int(f.Fd()))
	if err != nil || s.mounts[mount] {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	const hint = "hint: say checkpoint before it is started"
	switch key := External(mount, st.Ino); {
	case s.Init == pid && s.InitFile != "" && strings.HasPrefix(link, "/memfd:"):
		return unsupported("its init is in memory of the node's\n" + hint)
	case s.Init == pid && s.InitFile != "":
		s.found.Open[key] = s.InitFile
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

// file looks at one open file, by a descriptor of its own: the process goes on, and may have another one under that number at any moment.
func (s *surveyor) file(pidfd, fd int) error {
	own, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return err
	}
	defer unix.Close(own)
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", own))
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
		s.found.Sockets[strings.Trim(link, "socket:[]")] = true
		return socket(own)
	case strings.HasPrefix(link, "anon_inode:inotify"):
		more, err := watches(own)
		s.watches = append(s.watches, more...)
		return err
	}
	if !strings.HasPrefix(link, "/") {
		return nil
	}
	mount, err := mountOf(own)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(own, &st); err != nil {
		return err
	}
	key := External(mount, st.Ino)
	kind, isMemory := st.Mode&unix.S_IFMT, strings.HasPrefix(link, "/memfd:")
	switch name := s.Outside[File{st.Dev, st.Ino}]; {
	case name != "" && !s.mounts[mount]:
		s.found.Open[key] = name
	case kind == unix.S_IFCHR && st.Rdev == null && !s.mounts[mount]:
		s.found.Open[key] = Null
	case kind == unix.S_IFREG && st.Nlink == 0 && st.Size > GhostLimit && !isMemory:
		return unsupported("%s, of %d bytes, is open but has been removed: more than %d bytes are not put into an image", link, st.Size, GhostLimit)
	case kind == unix.S_IFCHR && !s.mounts[mount] && s.UserTerminal:
		return unsupported("%s is in no mount that the container's users see\nhint: say checkpoint before it is started", link)
	case !isMemory && !s.mounts[mount]:
		var fs unix.Statfs_t
		if err := unix.Fstatfs(own, &fs); err == nil && fs.Type == mqueueMagic {
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
func socket(own int) error {
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
func mountOf(own int) (int, error) {
	return number(fmt.Sprintf("/proc/self/fdinfo/%d", own), "mnt_id")
}

// tracerOf is the process that traces another, 0 for none.
func tracerOf(pid int) (int, error) {
	return number(fmt.Sprintf("/proc/%d/status", pid), "TracerPid")
}

// number is what a file in /proc says of a key.
func number(file, key string) (int, error) {
	text, err := process.ReadField(file, key)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// Pids are the processes of a cgroup, by its directory, and of those below but what is apart; nil for nothing.
func Pids(cgroup string, apart func(name string) bool) (pids []int, err error) {
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
		if !entry.IsDir() || apart != nil && apart(entry.Name()) {
			continue
		}
		more, err := Pids(filepath.Join(cgroup, entry.Name()), apart)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

func comm(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text))
}

// Gone tells whether an error is of a process, or a file of one, that has gone meanwhile.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EBADF)
}

func unsupported(format string, args ...any) error {
	return &refusal{fmt.Errorf(format, args...)}
}

// refusal is errors.ErrUnsupported without a word of it in the text.
type refusal struct{ error }

func (r *refusal) Unwrap() []error { return []error{r.error, errors.ErrUnsupported} }
