package linux_test

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// attackerPath is where a container finds the attacker, which is this test binary.
const attackerPath = "/bin/attacker"

// attackers are the programs that attack from inside a container: what busybox has no words for.
var attackers = map[string]func(args []string){
	"watch": watchNewcomers, "trace": traceNewcomers, "swap": swapForever, "stop": stopEverybody, "terminal": seizeTerminal, "pipes": spoilPipes, "nest": nest, "hold": hold, "hide": hide, "cousin": cousin, "herald": herald,
}

// attacker gives a container a program of attackers as its command.
func (n *node) attacker(t testing.TB, name, program string, args ...string) spec.Container {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	binary, err := elf.Open(exe)
	must(t, err)
	defer binary.Close()
	if slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Skip("skip: needs a static test binary: CGO_ENABLED=0 go test")
	}
	c := n.container(name, "")
	c.Spec.Command = append([]string{attackerPath, "attack", program}, args...)
	c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: spec.MountBind, Source: exe, Destination: attackerPath, Options: []string{"ro"}})
	return c
}

// attack runs one of the attackers.
func attack(args []string) int {
	program := attackers[args[0]]
	if program == nil {
		fmt.Println("no such attack", args)
		return 1
	}
	program(args[1:])
	return 0
}

// processesInside are the pids that proc shows.
func processesInside() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// watchNewcomers looks into each process that appears, as long as it is still part of the node: its binary is not the container's then. It
// says LEAK for whatever it could reach.
func watchNewcomers([]string) {
	own := map[int]bool{os.Getpid(): true}
	fmt.Println("up")
	for {
		for _, pid := range processesInside() {
			if !own[pid] {
				robNewcomer(pid)
			}
		}
	}
}

func robNewcomer(pid int) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	leak := func(what string, detail any) {
		if target, err := os.Readlink(dir + "exe"); err == nil && (target == "/bin/busybox" || target == attackerPath) {
			return // it is the container's by now
		} else if os.IsNotExist(err) {
			return // and it has ended
		}
		fmt.Println("LEAK", what, detail)
	}
	// What the process itself has is looked at before, so that what is read cannot be what came later.
	fds, _ := os.ReadDir(dir + "fd")
	for _, fd := range fds {
		if target, err := os.Readlink(dir + "fd/" + fd.Name()); err == nil && !strings.HasPrefix(target, "/bin/") {
			leak("descriptor "+fd.Name(), target)
		}
	}
	for _, file := range []string{"mem", "root", "cwd", "maps", "environ", "exe"} {
		if fd, err := unix.Open(dir+file, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			buf := make([]byte, 64)
			n, _ := unix.Read(fd, buf)
			if file != "maps" && file != "environ" || n > 0 {
				leak(file, string(buf[:max(n, 0)]))
			}
			unix.Close(fd)
		}
	}
	if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
		for fd := range 8 {
			if stolen, err := unix.PidfdGetfd(pidfd, fd+3, 0); err == nil {
				leak("pidfd_getfd", fd+3)
				unix.Close(stolen)
			}
		}
		unix.Close(pidfd)
	}
	if unix.PtraceSeize(pid) == nil {
		leak("ptrace", pid)
		_ = unix.PtraceDetach(pid) // which a process that runs refuses: it stays traced, and this process may not end
	}
}

// traceNewcomers traces each process that appears, and never lets go of it.
func traceNewcomers([]string) {
	runtime.LockOSThread()
	fmt.Println("up")
	for {
		for _, pid := range processesInside() {
			if pid != os.Getpid() && unix.PtraceSeize(pid) == nil {
				fmt.Println("traced")
			}
		}
	}
}

// swapForever exchanges pairs of names without end.
func swapForever(pairs []string) {
	fmt.Println("up")
	for {
		for pair := range slices.Chunk(pairs, 2) {
			_ = unix.Renameat2(unix.AT_FDCWD, pair[0], unix.AT_FDCWD, pair[1], unix.RENAME_EXCHANGE)
		}
	}
}

// stopEverybody stops every process there is, again and again, but itself.
func stopEverybody([]string) {
	fmt.Println("up")
	for {
		_ = unix.Kill(-1, unix.SIGSTOP)
	}
}

// seizeTerminal tries to put words into the terminal, to take another one, and to redirect the console. It says what went through.
func seizeTerminal(paths []string) {
	for _, path := range append([]string{"/dev/tty", "/dev/console", "/dev/pts/0", "/dev/pts/1", "/dev/ptmx"}, paths...) {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSTI, 'x'); err == nil {
			fmt.Println("TIOCSTI", path)
		}
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCLINUX, 2); err == nil {
			fmt.Println("TIOCLINUX", path)
		}
		if err := unix.IoctlSetInt(fd, unix.TIOCCONS, 0); err == nil {
			fmt.Println("TIOCCONS", path)
		}
		if err := unix.IoctlSetInt(fd, unix.TIOCSCTTY, 1); err == nil {
			fmt.Println("TIOCSCTTY", path)
		}
		for i := range uint16(1000) {
			_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: i, Col: ^i})
		}
		unix.Close(fd)
	}
	fmt.Println("done")
}

// spoilPipes changes everything about its standard descriptors that a process can, writes into them without end, and reads from its output
// what it has just written.
func spoilPipes([]string) {
	for fd := range 3 {
		_ = unix.Fchmod(fd, 0)
		_ = unix.Fchown(fd, 4242, 4242)
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 4096)
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETOWN, -1)
	}
	_, _ = unix.Write(1, []byte("up\n"))
	buf := make([]byte, 1<<16)
	for i := 0; ; i++ {
		flags := []int{0, unix.O_NONBLOCK, unix.O_NONBLOCK | unix.O_DIRECT, unix.O_ASYNC, unix.O_DIRECT}[i%5]
		_, _ = unix.FcntlInt(1, unix.F_SETFL, flags)
		_, _ = unix.Write(1+i%2, buf[:1+i%len(buf)])
		if i%3 == 0 {
			_, _ = unix.FcntlInt(1, unix.F_SETFL, unix.O_NONBLOCK)
			_, _ = unix.Read(1, buf[:128])
		}
	}
}

// nest makes directories below one another: where, how many, of which name.
func nest(args []string) {
	depth, _ := strconv.Atoi(args[1])
	at, err := unix.Open(args[0], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	made := 0
	for ; err == nil && made < depth; made++ {
		if err = unix.Mkdirat(at, args[2], 0o755); err != nil {
			break
		}
		var below int
		if below, err = unix.Openat(at, args[2], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(at)
			at = below
		}
	}
	fmt.Println("made", made, err)
}

// hold says which descriptors it has, and stays.
func hold([]string) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	fmt.Println("up", len(fds))
	for {
		_ = unix.Pause()
	}
}
