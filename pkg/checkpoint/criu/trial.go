package criu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where a trial has its things: on a file system that only its own mount namespace has.
const (
	trialDir  = "/run"
	trialRoot = "/run/root"
	userBase  = 1 << 30 // who is root in the user namespace
)

// attemptTimeout bounds one question, or one dump with its restore, which take 80 ms; verifyTimeout each look at what was restored.
const (
	attemptTimeout = 15 * time.Second
	verifyTimeout  = 3 * time.Second
)

// attempt is one way to dump and restore a throwaway process.
type attempt struct {
	lock       NetworkLock
	connection bool // it has one open
	user       bool // it is in a user namespace
}

// trialMain is the process that Prove starts.
func trialMain(args []string) int {
	if len(args) != 1 {
		return 2
	}
	keepToItself(3)
	go func() { // whoever asked is gone: so is this process, and as it is the first one of its namespace, all others
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	f := found{Lacks: map[Ability]string{}}
	if err := f.try(Tool{Path: args[0]}); err != nil {
		f = found{Lacks: Proof{}.lackAll(err.Error()).Lacks}
	}
	if json.NewEncoder(os.Stdout).Encode(f) != nil {
		return 1
	}
	return 0
}

// keepToItself lets no descriptor from a number on into programs: what an agent was started with is outside of any container, and criu refuses it.
func keepToItself(from uint) {
	if err := unix.CloseRange(from, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil { // Linux before 5.11
		for fd := int(from); fd < 1024; fd++ {
			unix.CloseOnExec(fd)
		}
	}
}

// try finds out what works: the best way to hold packets first, and with an open connection; what is left out to get there is what lacks.
func (f *found) try(tool Tool) error {
	if err := furnish(); err != nil {
		return fmt.Errorf("cannot try criu: %w", err)
	}
	ctx := context.Background()
	if err := f.ask(ctx, tool); err != nil {
		return err
	}
	var first error
	works := attempt{}
	// Not IPTables: what a criu leaves that is killed has to be removed by others.
	for _, a := range []attempt{{NFTables, true, false}, {NFTables, false, false}, {NoLock, false, false}} {
		err := a.run(ctx, tool)
		if err == nil {
			works = a
			break
		}
		if first == nil {
			first = err
		}
	}
	switch {
	case works.lock == "":
		return first
	case !works.connection:
		f.Lacks[TCP] = reason(first)
	}
	f.Lock = works.lock
	works.user = true
	if err := works.run(ctx, tool); err != nil {
		f.Lacks[UserNamespace] = reason(err)
	}
	return nil
}

// ask asks criu what it finds in the kernel.
func (f *found) ask(ctx context.Context, tool Tool) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	c, end, err := tool.Start()
	if err != nil {
		return err
	}
	defer end()
	features, err := c.Features(ctx)
	if err != nil {
		return err
	}
	if !features.LazyPages {
		f.Lacks[Lazy] = "this kernel has no userfaultfd that criu can use"
	}
	if !features.TrackMemory {
		f.Lacks[PreCopy] = "this kernel does not track which memory changes (CONFIG_MEM_SOFT_DIRTY)"
	}
	return nil
}

// reason is an error without its hint.
func reason(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\nhint: ")
	return text
}

// furnish makes the trial's place: a /run of its own, where criu keeps what it finds out about the kernel, a /proc of the new processes, and a root directory
// with one program.
func furnish() error {
	program, err := waiter(goarch)
	if err != nil {
		return err
	}
	unix.Umask(0o022)
	return errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		unix.Mount("run", trialDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=64m"),
		unix.Mkdir(trialRoot, 0o755),
		unix.Mount("root", trialRoot, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"),
		unix.Mkdir(filepath.Join(trialRoot, "proc"), 0o755),
		os.WriteFile(filepath.Join(trialRoot, "wait"), program, 0o755),
	)
}

// run dumps a throwaway process, restores it, and looks whether it has what it had.
func (a attempt) run(ctx context.Context, tool Tool) error {
	images, err := os.MkdirTemp(trialDir, "images")
	if err != nil {
		return err
	}
	defer os.RemoveAll(images)
	if err := os.Chmod(images, 0o755); err != nil { // in a user namespace, criu reads it as another user
		return err
	}
	dir, err := os.Open(images)
	if err != nil {
		return err
	}
	defer dir.Close()
	if a.user { // criu makes a directory in the root, as its owner
		if err := os.Chown(trialRoot, userBase, userBase); err != nil {
			return err
		}
	}
	s, err := newSubject(a)
	if err != nil {
		return fmt.Errorf("cannot make a process to try criu on: %w", err)
	}
	defer s.end()
	return a.cycle(ctx, tool, dir, s)
}

// cycle is one dump and one restore. The network namespace outlives the process, as that of a container does. One that belongs to a user namespace is made anew.
func (a attempt) cycle(ctx context.Context, tool Tool, images *os.File, s *subject) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	before, err := s.count()
	if err != nil {
		return err
	}
	o := Options{ImagesDir: images, Pid: s.pid, Root: trialRoot, TCPEstablished: a.connection, NetworkLock: a.lock, EmptyNetwork: a.user, SiblingOfCaller: true}
	if !a.user {
		o.Externals = []string{Namespace("net", s.netInode, "net")}
	}
	c, end, err := tool.Start()
	if err != nil {
		return err
	}
	err = c.Dump(ctx, o, Notify{})
	end()
	if err != nil {
		return err
	}
	s.reap()
	if err := readable(images.Name()); err != nil {
		return err
	}
	c, end, err = tool.Start(s.net)
	if err != nil {
		return err
	}
	defer end()
	var n Notify
	if a.user {
		n.SetupNamespaces = s.furnishNetwork
	} else {
		o.Externals, o.Inherit = nil, map[string]int{"net": 4}
	}
	if s.pid, err = c.Restore(ctx, o, n); err != nil {
		return err
	}
	if err := s.verify(a, before); err != nil {
		return fmt.Errorf("the restored process is not as it was: %w", err)
	}
	return nil
}

// readable lets everybody read an image. Nobody else is here to.
func readable(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() {
			err = errors.Join(err, os.Chmod(filepath.Join(dir, e.Name()), 0o644))
		}
	}
	return err
}
