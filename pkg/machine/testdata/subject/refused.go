package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What no image can hold: each says "lacking" where the kernel does not have it, and looks after itself.
func init() {
	for name, make := range map[string]func() (int, error){
		"io_uring": func() (int, error) { return raw(unix.SYS_IO_URING_SETUP, 4, buffer(120)) },
		"bpf": func() (int, error) {
			return raw(unix.SYS_BPF, 0, pointer([]uint32{2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 72)
		},
		"userfaultfd": func() (int, error) { return raw(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|1) }, // UFFD_USER_MODE_ONLY
		"perf":        func() (int, error) { return perf() },
		"fanotify":    func() (int, error) { return raw(unix.SYS_FANOTIFY_INIT, 0, 0) },
		"landlock":    func() (int, error) { return raw(unix.SYS_LANDLOCK_CREATE_RULESET, pointer([]uint64{1}), 8, 0) },
		"secret":      func() (int, error) { return raw(unix.SYS_MEMFD_SECRET, 0) },
		"vsock":       func() (int, error) { return unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
		"mptcp":       func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 262) },
		"mqueue": func() (int, error) {
			return raw(unix.SYS_MQ_OPEN, pointer([]byte("mine\x00")), unix.O_CREAT|unix.O_RDWR, 0o600, 0)
		},
		"mount namespace": func() (int, error) { return 0, nested(unix.CLONE_NEWNS) },
		"pid namespace":   func() (int, error) { return 0, nested(unix.CLONE_NEWPID) },
		"user namespace":  func() (int, error) { return 0, nested(unix.CLONE_NEWUSER) },
		"net namespace":   func() (int, error) { return 0, nested(unix.CLONE_NEWNET) },
		"ghost":           ghost,
		"watched":         watchedGhost,
		"traced":          traced,
		"executed memory": executedMemory,
		"outside":         outside,
	} {
		parts[name] = func(string) func() error {
			if _, err := make(); err != nil {
				fmt.Println("lacking", name, err)
			}
			return func() error { return nil }
		}
	}
}

func raw(nr uintptr, args ...uintptr) (int, error) {
	var a [6]uintptr
	copy(a[:], args)
	fd, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

var kept [][]byte

func buffer(n int) uintptr {
	kept = append(kept, make([]byte, n))
	return uintptr(unsafe.Pointer(&kept[len(kept)-1][0]))
}

func pointer[T any](of []T) uintptr { return uintptr(unsafe.Pointer(&of[0])) }

func perf() (int, error) {
	return unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: unix.PERF_COUNT_SW_CPU_CLOCK, Bits: unix.PerfBitExcludeKernel}, 0, -1, -1, 0)
}

// nested has a child in a namespace of its own.
func nested(flag uintptr) error {
	cmd := exec.Command("/proc/self/exe", "sleep")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag}
	return cmd.Start()
}

func ghost() (int, error) {
	f, err := os.Create("/tmp/ghost")
	if err == nil {
		err = f.Truncate(300 << 20)
	}
	if err == nil {
		err = os.Remove("/tmp/ghost")
	}
	runtime.KeepAlive(f)
	files = append(files, f)
	return 0, err
}

var files []*os.File

func watchedGhost() (int, error) {
	f, err := os.Create("/tmp/watched-ghost")
	if err != nil {
		return 0, err
	}
	files = append(files, f)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, "/tmp/watched-ghost", unix.IN_MODIFY)
	}
	if err == nil {
		err = os.Remove("/tmp/watched-ghost")
	}
	return fd, err
}

func traced() (int, error) {
	pid := child("sleep", nil)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		_, err := raw(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0)
		done <- err
		select {}
	}()
	return 0, <-done
}

func executedMemory() (int, error) {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(fd), "program")
	if _, err := f.Write(text); err != nil {
		return 0, err
	}
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", fd), "sleep")
	return 0, cmd.Start()
}

// outside takes a file from who knows the socket in a mount that both see.
func outside() (int, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "/between/socket", Net: "unix"})
	if err != nil {
		return 0, err
	}
	fmt.Println("listening")
	c, err := l.AcceptUnix()
	if err != nil {
		return 0, err
	}
	oob := make([]byte, 100)
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return 0, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	c.Close()
	l.Close()
	return fds[0], err
}
