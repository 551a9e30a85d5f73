package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	parts["tree"] = tree
	parts["zombie"] = zombie
	parts["stopped"] = stopped
	parts["sessions"] = sessions
	parts["shared"] = sharedFile
	parts["stdin"] = stdin
	roles["link"] = link
	roles["sleep"] = func([]string) { time.Sleep(24 * time.Hour) }
	roles["nothing"] = func([]string) {}
}

// tree is a chain of so many processes, each the parent of the next, with a pipe down and one up.
func tree(arg string) func() error {
	n := number(arg, 50)
	down, up, pid := spawn(n - 1)
	lines := bufio.NewReader(up)
	before := ""
	return func() error {
		if _, err := io.WriteString(down, "0\n"); err != nil {
			return err
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		if before == "" {
			before = line
		}
		return errors.Join(want("processes", len(words)-1, n), want("pids", line, before), want("first", words[len(words)-1], strconv.Itoa(pid)))
	}
}

func spawn(further int) (down io.WriteCloser, up io.ReadCloser, pid int) {
	cmd := exec.Command("/proc/self/exe", "link", strconv.Itoa(further))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off")
	down = got[io.WriteCloser]("pipe")(cmd.StdinPipe())
	up = got[io.ReadCloser]("pipe")(cmd.StdoutPipe())
	must("start", cmd.Start())
	return down, up, cmd.Process.Pid
}

// link is one process of a chain: what comes from above goes below, what comes from below goes above, with its number.
func link(args []string) {
	further := number(args[0], 0)
	var down io.Writer
	var lines *bufio.Reader
	if further > 0 {
		d, up, _ := spawn(further - 1)
		down, lines = d, bufio.NewReader(up)
	}
	for in := bufio.NewReader(os.Stdin); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if further > 0 {
			_, _ = io.WriteString(down, line)
			if line, err = lines.ReadString('\n'); err != nil {
				return
			}
		}
		fmt.Println(strings.TrimSpace(line), os.Getpid())
	}
}

func child(role string, attr *syscall.SysProcAttr) int {
	cmd := exec.Command("/proc/self/exe", role)
	cmd.SysProcAttr = attr
	must("start", cmd.Start())
	return cmd.Process.Pid
}

func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err.Error()
	}
	return strings.Fields(string(text))[2]
}

// zombie has a child that has ended and was not waited for.
func zombie(string) func() error {
	pid := child("nothing", nil)
	if !within(func() bool { return state(pid) == "Z" }) {
		fatal("no zombie: %s", state(pid))
	}
	return func() error { return want("state", state(pid), "Z") }
}

// stopped has a child that was stopped.
func stopped(string) func() error {
	pid := child("sleep", nil)
	must("stop", unix.Kill(pid, unix.SIGSTOP))
	if !within(func() bool { return state(pid) == "T" }) {
		fatal("not stopped: %s", state(pid))
	}
	return func() error { return want("state", state(pid), "T") }
}

// sessions has children with a session, and with a process group, of their own.
func sessions(string) func() error {
	leader, group := child("sleep", &syscall.SysProcAttr{Setsid: true}), child("sleep", &syscall.SysProcAttr{Setpgid: true})
	own := got[int]("getsid")(unix.Getsid(0))
	return func() error {
		s, err := unix.Getsid(leader)
		g, err2 := unix.Getpgid(group)
		gs, err3 := unix.Getsid(group)
		now, err4 := unix.Getsid(0)
		return errors.Join(err, err2, err3, err4, want("session", s, leader), want("group", g, group), want("session of group", gs, own), want("own session", now, own))
	}
}

// sharedFile has a file open together with a child: one place for both.
func sharedFile(string) func() error {
	f := got[*os.File]("create")(os.Create("/tmp/shared"))
	cmd := exec.Command("/proc/self/exe", "sleep")
	cmd.ExtraFiles = []*os.File{f}
	must("start", cmd.Start())
	return func() error {
		if _, err := f.WriteString("x"); err != nil {
			return err
		}
		own, err := f.Seek(0, io.SeekCurrent)
		text, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/3", cmd.Process.Pid))
		pos, _, _ := strings.Cut(string(text), "\n")
		return errors.Join(err, err2, want("place", strings.Join(strings.Fields(pos), ""), fmt.Sprintf("pos:%d", own)))
	}
}

// stdin says what it reads.
func stdin(string) func() error {
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println("heard", in.Text())
		}
	}()
	return func() error { return nil }
}
