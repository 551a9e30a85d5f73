package engines

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a command line of an engine that somebody types at.
type terminal struct {
	s      *story
	master *os.File
	cmd    *exec.Cmd
	read   chan struct{} // closed when there is no more output

	mu     sync.Mutex
	output bytes.Buffer
}

// terminal starts the engine's command line on a terminal of that size.
func (s *story) terminal(rows, columns uint16, args ...string) *terminal {
	master, slave, err := openTerminal(rows, columns)
	if err != nil {
		s.stop("%v", err)
	}
	defer slave.Close()
	t := &terminal{s: s, master: master, read: make(chan struct{})}
	argv := s.argv(args...)
	t.cmd = exec.Command(argv[0], argv[1:]...)
	t.cmd.Dir = "/run"
	t.cmd.Stdin, t.cmd.Stdout, t.cmd.Stderr = slave, slave, slave
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := t.cmd.Start(); err != nil {
		s.stop("%v", err)
	}
	go func() {
		defer close(t.read)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			t.mu.Lock()
			t.output.Write(buffer[:n])
			t.mu.Unlock()
			if err != nil { // EIO when nobody has the other end any more
				return
			}
		}
	}()
	return t
}

func openTerminal(rows, columns uint16) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = master.Close()
	}
	return master, slave, err
}

// text is all that has been said. Carriage returns are left out: some engines add their own.
func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(t.output.String(), "\r", "")
}

// hear waits until a text has been said.
func (t *terminal) hear(text string) {
	for late := time.Now().Add(patience); !strings.Contains(t.text(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.s.failf("the terminal does not say %q but %q", text, t.text())
			t.end()
			panic(end{})
		}
	}
}

func (t *terminal) send(text string) {
	if _, err := t.master.WriteString(text); err != nil {
		t.s.failf("cannot type: %v", err)
	}
}

// ask types something until it is answered: who is resized, attached to, or begins to wait, is so some time later.
func (t *terminal) ask(typed, answer string) {
	for late := time.Now().Add(patience / 2); !strings.Contains(t.text(), answer); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			t.hear(answer)
		}
		t.send(typed)
	}
}

func (t *terminal) resize(rows, columns uint16) {
	if err := unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.s.failf("cannot resize: %v", err)
	}
}

// end ends the command line, if it has not by itself.
func (t *terminal) end() { _ = t.cmd.Process.Kill(); _ = t.wait() }

// wait waits for the command line and gives its exit code.
func (t *terminal) wait() int {
	late := time.AfterFunc(patience, func() { _ = t.cmd.Process.Kill() })
	_ = t.cmd.Wait()
	if !late.Stop() {
		t.s.failf("the command line does not end; it says %q", t.text())
	}
	<-t.read
	_ = t.master.Close()
	return t.cmd.ProcessState.ExitCode()
}

// typed is what is typed at any engine's shell on a terminal of 33 rows and 111 columns, and heard.
func (t *terminal) typed() int {
	t.ask("stty size\n", "33 111\n")
	t.send("tty; test -t 0 && test -t 1 && test -t 2 && echo al''l\n")
	t.hear("/dev/pts/")
	t.hear("all\n")
	t.resize(44, 122)
	t.ask("stty size\n", "44 122\n")
	t.send("trap 'echo interrup''ted' INT; echo wai''ting; sleep 1000; echo en''ded\n")
	t.hear("waiting\n")
	t.ask("\x03", "ended\n") // ^C
	t.hear("interrupted\n")
	t.send("exit 9\n")
	return t.wait()
}
