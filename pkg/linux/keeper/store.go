package keeper

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// store is the service manager's store of descriptors, where this process is a service that has one: what it holds of a run is there as well, so that a keeper
// that is killed does not take it along. Its successor gets it back: the exit of a process that ended meanwhile (with Linux 6.15), the output
// that it left, a terminal that does not hang up. It is a second safety: whatever fails here, the keeper goes on, as without it. See FDSTORE in sd_notify(3).
type store struct {
	manager *net.UnixConn // nil for none
	found   map[string][]*os.File
}

// The environment of a service, see sd_notify(3) and sd_listen_fds(3).
const (
	notifyVariable = "NOTIFY_SOCKET"
	firstPassed    = 3
)

// openStore finds the service manager, and what it has stored of a predecessor. A keeper that was executed in the place of another gets that from there.
func openStore() *store {
	s := &store{found: map[string][]*os.File{}}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	count, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) && count == len(names) {
		for i, name := range names {
			s.found[name] = append(s.found[name], inherited(firstPassed+i, name))
		}
	}
	for _, variable := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(variable) // a successor's own would be others
	}
	if path := os.Getenv(notifyVariable); path != "" {
		s.manager, _ = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	}
	return s
}

// stored names what is stored of a run.
func (in *instance) stored() string {
	return fmt.Sprintf("%s.%d.%d", in.key.Name, in.key.Instance, in.record.Starts)
}

// take gives what was stored of a run.
func (s *store) take(name string) (held holdings) {
	if s == nil {
		return held
	}
	for _, f := range s.found[name] {
		held.add(f)
	}
	delete(s.found, name)
	return held
}

// add puts a descriptor in its place, by what it is: a store does not keep the order.
func (h *holdings) add(f *os.File) {
	var st unix.Stat_t
	err := unix.Fstat(number(f), &st)
	place := &h.pidfd
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		link, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", number(f)))
		place = &h.pipes[0]
		if filepath.Base(link) == FileStderr {
			place = &h.pipes[1]
		}
	case unix.S_IFCHR:
		place = &h.console
	case unix.S_IFSOCK:
		place = &h.notify
	}
	if err != nil || *place != nil {
		f.Close()
		return
	}
	*place = f
}

// keep stores what an instance holds. Stored twice it is there once.
func (s *store) keep(in *instance) {
	var fds []int
	for _, f := range []*os.File{in.pidfd, in.pipes[0], in.pipes[1], in.console, in.notify} {
		if f != nil {
			fds = append(fds, number(f))
		}
	}
	s.tell("FDSTORE=1\nFDNAME="+in.stored()+"\nFDPOLL=0", fds...)
}

// drop takes out what is stored by a name.
func (s *store) drop(name string) { s.tell("FDSTOREREMOVE=1\nFDNAME=" + name) }

// settle drops what was found and nobody has taken.
func (s *store) settle() {
	if s == nil {
		return
	}
	for name, files := range s.found {
		closeAll(files)
		s.drop(name)
	}
	s.found = nil
}

// tell says something to the service manager, if there is one, and does not wait for it.
func (s *store) tell(state string, fds ...int) {
	if s == nil || s.manager == nil {
		return
	}
	raw, err := s.manager.SyscallConn()
	if err != nil {
		return
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	raw.Control(func(fd uintptr) {
		unix.Sendmsg(int(fd), []byte(state), rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
}

// reseal executes a sealed copy of this program in its place, with all that it was given, unless it is one. Who starts a keeper otherwise
// gives it one, see command.
func reseal() error {
	if os.Getenv(notifyVariable) == "" {
		return nil
	}
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer own.Close()
	if isSealed(own) {
		return nil
	}
	sealed, err := Sealed("/proc/self/exe")
	if err != nil {
		return err
	}
	defer sealed.Close()
	err = unix.Exec(fmt.Sprintf("/proc/self/fd/%d", sealed.Fd()), os.Args, os.Environ())
	return fmt.Errorf("cannot execute a sealed copy: %w", err)
}
