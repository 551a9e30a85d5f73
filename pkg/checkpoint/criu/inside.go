package criu

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideReport is the descriptor that the subject complains to before it is one.
const insideReport = far + 1

// withConnection is the argument of a subject that has a connection.
const withConnection = "connection"

// startInside starts this program in new namespaces, where it becomes the subject. It is one when the report ends without a word.
func startInside(a attempt) (pid int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	attr := &os.ProcAttr{
		Env: []string{"GOMAXPROCS=1"}, Files: slices.Repeat([]*os.File{w}, insideReport+1),
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS, Setsid: true},
	}
	args := []string{hookName, hookInside}
	if a.connection {
		args = append(args, withConnection)
	}
	if a.user {
		attr.Sys.Cloneflags |= unix.CLONE_NEWUSER
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: userBase, Size: 1 << 16}}
		attr.Sys.UidMappings, attr.Sys.GidMappings, attr.Sys.GidMappingsEnableSetgroups = ids, ids, true
		attr.Sys.Credential = &syscall.Credential{NoSetGroups: true}
	}
	process, err := os.StartProcess("/proc/self/exe", args, attr)
	w.Close()
	if err != nil {
		return 0, fmt.Errorf("cannot start a process in namespaces: %w", err)
	}
	pid = process.Pid
	process.Release()
	said, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil || len(said) > 0 {
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return 0, errors.Join(fmt.Errorf("the process in namespaces %s", said), err)
	}
	return pid, nil
}

// step is one thing to do, and what is said when it cannot be done.
type step struct {
	what string
	do   func() error
}

// insideMain is the process that startInside starts: it makes its descriptors, goes into its root directory and becomes the waiter.
func insideMain(args []string) int {
	keepToItself(insideReport)
	steps := slices.Concat(openSteps(slices.Contains(args, withConnection)), []step{
		{"cannot keep its mounts to itself", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		// In a user namespace the mounts that came with it cannot be moved; a bind of one can.
		{"cannot bind its root", func() error { return unix.Mount(trialRoot, trialRoot, "", unix.MS_BIND, "") }},
		{"cannot go to its root", func() error { return unix.Chdir(trialRoot) }},
		{"cannot mount /proc", func() error {
			return unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"cannot make its root the root", func() error { return unix.PivotRoot(".", ".") }},
		{"cannot leave the old root", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"cannot go to the new root", func() error { return unix.Chdir("/") }},
		{"cannot execute", func() error { return unix.Exec("/wait", []string{"wait"}, nil) }},
	})
	for _, s := range steps {
		if err := s.do(); err != nil {
			fmt.Fprintf(os.NewFile(insideReport, "report"), "%s: %v", s.what, err)
			break
		}
	}
	return 1
}

// openSteps make the subject's descriptors, which are copies of the report until then.
func openSteps(connection bool) []step {
	steps := []step{
		{"cannot bring its loopback up", loopbackUp},
		{"cannot make a pipe", func() error {
			var pipe [2]int
			if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
				return err
			}
			return errors.Join(unix.Dup3(pipe[0], pipeOut, 0), unix.Dup3(pipe[1], pipeIn, 0), write(pipeIn, said1))
		}},
		{"cannot listen", func() error {
			fd, err := tcpSocket()
			if err != nil {
				return err
			}
			return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: loopback}), unix.Listen(fd, 1), unix.Dup3(fd, listener, 0))
		}},
	}
	if !connection {
		return append(steps, step{"cannot close", func() error { return errors.Join(unix.Close(near), unix.Close(far)) }})
	}
	return append(steps, step{"cannot connect", func() error {
		fd, err := connect()
		if err != nil {
			return err
		}
		peer, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil {
			return err
		}
		return errors.Join(unix.Dup3(fd, near, 0), unix.Dup3(peer, far, 0), write(near, said2))
	}})
}

func write(fd int, what string) error {
	_, err := unix.Write(fd, []byte(what))
	return err
}
