package oci

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
)

// terminalName is what a terminal is called in the message that carries it, as engines know it.
const terminalName = "/dev/ptmx"

// handed refuses a terminal that nobody would have, and a socket for none.
func handed(hasTTY, detach bool, socket string) error {
	switch hasSocket := socket != ""; {
	case hasTTY && detach && !hasSocket:
		return invalid("cannot allocate a terminal and detach without setting console socket")
	case hasSocket && (!hasTTY || !detach):
		return invalid("cannot use console socket without a terminal, and without detaching")
	}
	return nil
}

// sendFile sends a descriptor to the one who listens at a unix socket, with a name.
func sendFile(socket string, f *os.File, name string) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return fmt.Errorf("cannot hand over %s: %w", name, err)
	}
	defer conn.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { _, _, sent = conn.WriteMsgUnix([]byte(name), unix.UnixRights(int(fd)), nil) })
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("cannot hand over %s: %w", name, err)
	}
	return nil
}

// console sizes the container's terminal and hands its master over.
func (m *making) console() error {
	if m.files.Console == nil {
		return nil
	}
	if err := mount.Resize(m.files.Console, m.t.ConsoleSize); err != nil {
		return err
	}
	if m.ConsoleSocket == "" {
		m.master = m.files.Console
		return nil
	}
	return sendFile(m.ConsoleSocket, m.files.Console, terminalName)
}

// Inherited are the descriptors from 3 on that this process was given by whoever executed it, which is to be asked before they are made
// close-on-exec: others, such as the Go runtime's, are so from the beginning.
func Inherited() map[int]bool {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	given := map[int]bool{}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			given[fd] = true
		}
	}
	return given
}

// ExtraFiles are the descriptors that a caller hands on, of those that were inherited: count of them from 3 on, or as many as LISTEN_FDS says, see
// sd_listen_fds(3). The variables that say so to the container are in env.
func ExtraFiles(count int, listenFDs string, inherited map[int]bool) (files []*os.File, env map[string]string, err error) {
	listen := 0
	if listenFDs != "" {
		if listen, err = strconv.Atoi(listenFDs); err != nil || listen < 0 {
			return nil, nil, invalid("LISTEN_FDS is %q", listenFDs)
		}
	}
	if listen > 0 {
		env = map[string]string{"LISTEN_FDS": strconv.Itoa(listen), "LISTEN_PID": "1"}
	}
	const most = 1000
	if count < 0 || count+listen > most {
		return nil, nil, invalid("%d descriptors to preserve are not between 0 and %d", count+listen, most)
	}
	for fd := 3; fd < 3+count+listen; fd++ {
		if !inherited[fd] {
			return nil, nil, fmt.Errorf("file descriptor %d is to be preserved, and there is none: %w", fd, unix.EBADF)
		}
		files = append(files, os.NewFile(uintptr(fd), "fd"+strconv.Itoa(fd)))
	}
	return files, env, nil
}
