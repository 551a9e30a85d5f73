package process

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// call is how a system call is printed: its name, and the words for those arguments that have some.
type call struct {
	name string
	args [6]*words
}

// words are the names of numbers: of bits that may be combined, or of single values.
type words struct {
	single bool
	names  []word
}

type word struct {
	value uint64
	name  string
}

// variables are an environment: only their number is printed, for they can be secrets.
var variables = &words{}

// text is the symbolic form of n; a rest without a name is hexadecimal.
func (w *words) text(n uint64) string {
	if w.single {
		for _, word := range w.names {
			if word.value == n {
				return word.name
			}
		}
		return number10(n)
	}
	var parts []string
	for _, word := range w.names {
		if n&word.value == word.value {
			parts = append(parts, word.name)
			n &^= word.value
		}
	}
	if n != 0 || len(parts) == 0 {
		parts = append(parts, number10(n))
	}
	return strings.Join(parts, "|")
}

// number10 is small numbers in decimal and large ones, which are bits or addresses, in hexadecimal.
func number10(n uint64) string {
	if signed := int64(n); -4096 < signed && signed < 1<<16 {
		return fmt.Sprint(signed)
	}
	return fmt.Sprintf("%#x", n)
}

// The words of the calls that starts are made of; names as in their man pages.
var (
	at        = &words{single: true, names: []word{{1<<64 - 100, "AT_FDCWD"}}}
	atFlags   = &words{names: []word{{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}}}
	cloneBits = &words{names: []word{
		{unix.CLONE_NEWNS, "CLONE_NEWNS"},
		{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
		{unix.CLONE_NEWUTS, "CLONE_NEWUTS"},
		{unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
		{unix.CLONE_NEWUSER, "CLONE_NEWUSER"},
		{unix.CLONE_NEWPID, "CLONE_NEWPID"},
		{unix.CLONE_NEWNET, "CLONE_NEWNET"},
		{unix.CLONE_NEWTIME, "CLONE_NEWTIME"},
	}}
	fsopenBits   = &words{names: []word{{unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC"}}}
	fsmountBits  = &words{names: []word{{unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"}}}
	fsconfigWord = &words{single: true, names: []word{
		{unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"},
		{unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"},
		{unix.FSCONFIG_SET_FD, "FSCONFIG_SET_FD"},
		{unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"},
		{unix.FSCONFIG_CMD_RECONFIGURE, "FSCONFIG_CMD_RECONFIGURE"},
	}}
	mountAttr = &words{names: []word{
		{unix.MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY"},
		{unix.MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID"},
		{unix.MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV"},
		{unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC"},
		{unix.MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME"},
		{unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME"},
	}}
	moveMountBits = &words{names: []word{{unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"}, {unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_T_EMPTY_PATH"}}}
	openTreeBits  = &words{names: []word{
		{unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"}, {unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"}, {unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"},
	}}
	msBits = &words{names: []word{
		{unix.MS_RDONLY, "MS_RDONLY"},
		{unix.MS_NOSUID, "MS_NOSUID"},
		{unix.MS_NODEV, "MS_NODEV"},
		{unix.MS_NOEXEC, "MS_NOEXEC"},
		{unix.MS_REMOUNT, "MS_REMOUNT"},
		{unix.MS_BIND, "MS_BIND"},
		{unix.MS_MOVE, "MS_MOVE"},
		{unix.MS_REC, "MS_REC"},
		{unix.MS_PRIVATE, "MS_PRIVATE"},
		{unix.MS_SLAVE, "MS_SLAVE"},
		{unix.MS_SHARED, "MS_SHARED"},
	}}
	umountBits = &words{names: []word{{unix.MNT_FORCE, "MNT_FORCE"}, {unix.MNT_DETACH, "MNT_DETACH"}, {unix.UMOUNT_NOFOLLOW, "UMOUNT_NOFOLLOW"}}}
	openBits   = &words{names: []word{
		{unix.O_PATH, "O_PATH"},
		{unix.O_WRONLY, "O_WRONLY"},
		{unix.O_RDWR, "O_RDWR"},
		{unix.O_CREAT, "O_CREAT"},
		{unix.O_EXCL, "O_EXCL"},
		{unix.O_TRUNC, "O_TRUNC"},
		{unix.O_DIRECTORY, "O_DIRECTORY"},
		{unix.O_NOFOLLOW, "O_NOFOLLOW"},
		{unix.O_CLOEXEC, "O_CLOEXEC"},
		{unix.O_NOCTTY, "O_NOCTTY"},
	}}
	dupBits        = &words{names: []word{{unix.O_CLOEXEC, "O_CLOEXEC"}}}
	closeRangeBits = &words{names: []word{{unix.CLOSE_RANGE_UNSHARE, "CLOSE_RANGE_UNSHARE"}, {unix.CLOSE_RANGE_CLOEXEC, "CLOSE_RANGE_CLOEXEC"}}}
	prctlWord      = &words{single: true, names: []word{
		{unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"},
		{unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"},
		{unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"},
		{unix.PR_SET_NAME, "PR_SET_NAME"},
		{unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"},
		{unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"},
		{unix.PR_SET_SECUREBITS, "PR_SET_SECUREBITS"},
		{unix.PR_SET_TIMERSLACK, "PR_SET_TIMERSLACK"},
		{unix.PR_SET_CHILD_SUBREAPER, "PR_SET_CHILD_SUBREAPER"},
		{unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"},
		{unix.PR_SET_THP_DISABLE, "PR_SET_THP_DISABLE"},
		{unix.PR_MCE_KILL, "PR_MCE_KILL"},
		{unix.PR_SET_IO_FLUSHER, "PR_SET_IO_FLUSHER"},
	}}
	seccompWord = &words{single: true, names: []word{{unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"}}}
	sigmaskWord = &words{single: true, names: []word{{unix.SIG_BLOCK, "SIG_BLOCK"}, {unix.SIG_UNBLOCK, "SIG_UNBLOCK"}, {unix.SIG_SETMASK, "SIG_SETMASK"}}}
)

// calls are the system calls that starts are made of. Any other can be part of a program; it is printed by its number.
var calls = map[uint32]call{
	unix.SYS_BPF:                     {name: "bpf"},
	unix.SYS_CAPSET:                  {name: "capset"},
	unix.SYS_CHDIR:                   {name: "chdir"},
	unix.SYS_CHROOT:                  {name: "chroot"},
	unix.SYS_CLOSE:                   {name: "close"},
	unix.SYS_CLOSE_RANGE:             {"close_range", [6]*words{2: closeRangeBits}},
	unix.SYS_DUP3:                    {"dup3", [6]*words{2: dupBits}},
	unix.SYS_EXECVE:                  {"execve", [6]*words{2: variables}},
	unix.SYS_EXECVEAT:                {"execveat", [6]*words{0: at, 3: variables, 4: atFlags}},
	unix.SYS_EXIT_GROUP:              {name: "exit_group"},
	unix.SYS_FACCESSAT2:              {"faccessat2", [6]*words{0: at}},
	unix.SYS_FCHDIR:                  {name: "fchdir"},
	unix.SYS_FCHMOD:                  {name: "fchmod"},
	unix.SYS_FCHMODAT:                {"fchmodat", [6]*words{0: at}},
	unix.SYS_FCHOWN:                  {name: "fchown"},
	unix.SYS_FCHOWNAT:                {"fchownat", [6]*words{0: at, 4: atFlags}},
	unix.SYS_FCNTL:                   {name: "fcntl"},
	unix.SYS_FSCONFIG:                {"fsconfig", [6]*words{1: fsconfigWord}},
	unix.SYS_FSMOUNT:                 {"fsmount", [6]*words{1: fsmountBits, 2: mountAttr}},
	unix.SYS_FSOPEN:                  {"fsopen", [6]*words{1: fsopenBits}},
	unix.SYS_GETPID:                  {name: "getpid"},
	unix.SYS_IOCTL:                   {name: "ioctl"},
	unix.SYS_IOPRIO_SET:              {name: "ioprio_set"},
	unix.SYS_KEYCTL:                  {name: "keyctl"},
	unix.SYS_KILL:                    {name: "kill"},
	unix.SYS_LANDLOCK_ADD_RULE:       {name: "landlock_add_rule"},
	unix.SYS_LANDLOCK_CREATE_RULESET: {name: "landlock_create_ruleset"},
	unix.SYS_LANDLOCK_RESTRICT_SELF:  {name: "landlock_restrict_self"},
	unix.SYS_LINKAT:                  {"linkat", [6]*words{0: at, 2: at, 4: atFlags}},
	unix.SYS_LSEEK:                   {name: "lseek"},
	unix.SYS_MEMFD_CREATE:            {name: "memfd_create"},
	unix.SYS_MKDIRAT:                 {"mkdirat", [6]*words{0: at}},
	unix.SYS_MKNODAT:                 {"mknodat", [6]*words{0: at}},
	unix.SYS_MOUNT:                   {"mount", [6]*words{3: msBits}},
	unix.SYS_MOUNT_SETATTR:           {"mount_setattr", [6]*words{0: at, 2: atFlags}},
	unix.SYS_MOVE_MOUNT:              {"move_mount", [6]*words{0: at, 2: at, 4: moveMountBits}},
	unix.SYS_OPENAT2:                 {"openat2", [6]*words{0: at}},
	unix.SYS_OPENAT:                  {"openat", [6]*words{0: at, 2: openBits}},
	unix.SYS_OPEN_TREE:               {"open_tree", [6]*words{0: at, 2: openTreeBits}},
	unix.SYS_PERSONALITY:             {name: "personality"},
	unix.SYS_PIVOT_ROOT:              {name: "pivot_root"},
	unix.SYS_PPOLL:                   {name: "ppoll"},
	unix.SYS_PRCTL:                   {"prctl", [6]*words{0: prctlWord}},
	unix.SYS_PRLIMIT64:               {name: "prlimit64"},
	unix.SYS_READ:                    {name: "read"},
	unix.SYS_RT_SIGACTION:            {name: "rt_sigaction"},
	unix.SYS_RT_SIGPROCMASK:          {"rt_sigprocmask", [6]*words{0: sigmaskWord}},
	unix.SYS_SCHED_SETAFFINITY:       {name: "sched_setaffinity"},
	unix.SYS_SCHED_SETATTR:           {name: "sched_setattr"},
	unix.SYS_SECCOMP:                 {"seccomp", [6]*words{0: seccompWord}},
	unix.SYS_SENDMSG:                 {name: "sendmsg"},
	unix.SYS_SETDOMAINNAME:           {name: "setdomainname"},
	unix.SYS_SETGID:                  {name: "setgid"},
	unix.SYS_SETGROUPS:               {name: "setgroups"},
	unix.SYS_SETHOSTNAME:             {name: "sethostname"},
	unix.SYS_SETNS:                   {"setns", [6]*words{1: cloneBits}},
	unix.SYS_SETPGID:                 {name: "setpgid"},
	unix.SYS_SETPRIORITY:             {name: "setpriority"},
	unix.SYS_SETRESGID:               {name: "setresgid"},
	unix.SYS_SETRESUID:               {name: "setresuid"},
	unix.SYS_SETSID:                  {name: "setsid"},
	unix.SYS_SETUID:                  {name: "setuid"},
	unix.SYS_SET_MEMPOLICY:           {name: "set_mempolicy"},
	unix.SYS_SOCKET:                  {name: "socket"},
	unix.SYS_SYMLINKAT:               {"symlinkat", [6]*words{1: at}},
	unix.SYS_UMASK:                   {name: "umask"},
	unix.SYS_UMOUNT2:                 {"umount2", [6]*words{1: umountBits}},
	unix.SYS_UNLINKAT:                {"unlinkat", [6]*words{0: at}},
	unix.SYS_UNSHARE:                 {"unshare", [6]*words{0: cloneBits}},
	unix.SYS_WRITE:                   {name: "write"},
}
