package feature

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What system calls and file systems can do.
var (
	Privileges = &Feature{
		Name: "privileges", Purpose: "namespaces, mounts and cgroups of the node",
		Remedy: "run as root, or with CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_MKNOD and CAP_KILL",
		probe:  privileges,
	}
	CloneIntoCgroup = &Feature{
		Name: "clone-into-cgroup", Since: "5.7", Purpose: "starting inside the cgroup instead of moving there",
		Remedy: "run a kernel from Linux 5.7 on, and let a seccomp filter around the agent pass clone3",
		probe:  cloneIntoCgroup,
	}
	PidfdExitInfo = &Feature{
		Name: "pidfd-exit-info", Since: "6.15", Purpose: "exit codes of processes that are not our children",
		Remedy: "run a kernel from Linux 6.15 on; without it an exit that only a successor of the keeper sees may be Unknown",
		probe:  pidfdExitInfo,
	}
	MountSetattr = &Feature{
		Name: "mount-setattr", Since: "5.12", Purpose: "read-only trees and id-mapped mounts",
		Remedy: "run a kernel from Linux 5.12 on",
		probe: func() error {
			_, _, errno := unix.Syscall6(unix.SYS_MOUNT_SETATTR, ^uintptr(0), 0, 0, 0, 0, 0)
			return answered(errno, unix.EINVAL, unix.EFAULT, unix.EBADF)
		},
	}
	Overlay = &Feature{
		Name: "overlay", Since: "5.2", Purpose: "writable layers above a shared rootfs",
		Remedy: "load the overlay module, or set rootfs.readOnly",
		probe: func() error {
			fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
			if errors.Is(err, unix.ENODEV) {
				return because("overlay is built out, or its module cannot be loaded")
			}
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		},
	}
	Seccomp = &Feature{
		Name: "seccomp", Since: "4.14", Purpose: "system call filters",
		Remedy: "run a kernel with CONFIG_SECCOMP_FILTER, or set security.seccomp: Unconfined",
		probe: func() error {
			action := uint32(unix.SECCOMP_RET_ERRNO)
			_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
			if errno == unix.ENOSYS || errno == unix.EINVAL {
				return because("CONFIG_SECCOMP_FILTER is off")
			}
			return answered(errno)
		},
	}
	UserNamespaces = &Feature{
		Name: "userns", Since: "3.8", Purpose: "user namespaces",
		Remedy: "sysctl -w user.max_user_namespaces=10000",
		probe:  func() error { return namespace("user") },
	}
	NetworkNamespaces = &Feature{
		Name: "netns", Since: "3.0", Purpose: "network.mode Private and None",
		Remedy: "run a kernel with CONFIG_NET_NS, or set network.mode: Host",
		probe:  func() error { return namespace("net") },
	}
	ProjectQuota = &Feature{
		Name: "project-quota", Since: "5.14", Purpose: "sized writable layers on disks mounted with prjquota",
		Remedy: "run a kernel from Linux 5.14 on with CONFIG_QUOTA",
		probe: func() error {
			_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, ^uintptr(0), 0, 0, 0, 0, 0)
			return answered(errno, unix.EBADF, unix.EINVAL)
		},
	}
	Systemd = &Feature{
		Name: "systemd", Purpose: "a delegated unit for the keeper and the containers",
		Remedy: "none needed: without systemd the agent owns its cgroup by itself",
		probe: func() error {
			_, err := os.Stat("/run/systemd/system") // sd_booted(3)
			if errors.Is(err, fs.ErrNotExist) {
				return because("systemd is not process 1")
			}
			return err
		},
	}
)

// answered judges a call made with arguments that a kernel which knows it refuses with one of expected.
func answered(errno unix.Errno, expected ...unix.Errno) error {
	if errno == 0 {
		return nil
	}
	for _, e := range expected {
		if errno == e {
			return nil
		}
	}
	return errno // ENOSYS is errors.ErrUnsupported
}

// privileges looks for the capabilities that containers cannot be made without.
func privileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	var missing []string
	for _, c := range []struct {
		bit  int
		name string
	}{
		{unix.CAP_CHOWN, "CAP_CHOWN"},
		{unix.CAP_KILL, "CAP_KILL"},
		{unix.CAP_SETGID, "CAP_SETGID"},
		{unix.CAP_SETUID, "CAP_SETUID"},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
		{unix.CAP_MKNOD, "CAP_MKNOD"},
	} {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if missing != nil {
		return because("%s is missing", strings.Join(missing, ", "))
	}
	return nil
}

// cloneIntoCgroup asks for a child in a cgroup that is none, so that no child is made: a kernel that knows the
// flag answers EBADF, an older one E2BIG for the longer structure (clone(2)).
func cloneIntoCgroup() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	args := struct {
		flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup uint64
	}{flags: unix.CLONE_INTO_CGROUP, exitSignal: uint64(unix.SIGCHLD), cgroup: uint64(null.Fd())}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno == unix.E2BIG {
		return errors.ErrUnsupported
	}
	return answered(errno, unix.EBADF)
}

// namespace tells whether the kernel has a kind of namespace and lets more be made.
func namespace(kind string) error {
	if _, err := os.Stat("/proc/self/ns/" + kind); errors.Is(err, fs.ErrNotExist) {
		return because("the kernel is built without %s namespaces", kind)
	}
	file := "/proc/sys/user/max_" + kind + "_namespaces"
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.TrimSpace(string(text)) == "0" {
		return because("%s is 0", file)
	}
	return nil
}

// pidfdExitInfo lets a thread of our own end and asks its pidfd how: no process needs to be started.
func pidfdExitInfo() error {
	pidfd, err := endedThread()
	if errors.Is(err, unix.EINVAL) { // pidfds of threads are older: 6.9
		return errors.ErrUnsupported
	}
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	ended := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ended, 1000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return errors.Join(err, errors.New("a thread did not end within a second"))
		}
		break
	}
	return exitInfo(pidfd)
}

// endedThread opens a pidfd of a thread that is about to end: one that a goroutine leaves locked ends with it, except
// the process's first, which is kept busy while another is tried.
func endedThread() (pidfd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			pidfd, err = endedThread()
			runtime.UnlockOSThread()
			return
		}
		pidfd, err = unix.PidfdOpen(unix.Gettid(), unix.PIDFD_THREAD)
	}()
	<-done
	return pidfd, err
}

// exitInfo asks for PIDFD_INFO_EXIT, see include/uapi/linux/pidfd.h. A thread that has ended may not have been reaped yet, by
// itself: until then the kernel answers without that part.
func exitInfo(pidfd int) error {
	const (
		getInfo  = 0xc040ff0b // _IOWR(0xff, 11, 64 bytes): PIDFD_GET_INFO
		maskExit = 1 << 3
	)
	for range 1000 {
		info := struct {
			mask, cgroup uint64
			rest         [12]uint32
		}{mask: maskExit}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), getInfo, uintptr(unsafe.Pointer(&info)))
		switch {
		case errno == unix.ESRCH || errno == unix.ENOTTY || errno == unix.EINVAL:
			return errors.ErrUnsupported
		case errno != 0:
			return errno
		case info.mask&maskExit != 0:
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.ErrUnsupported
}
