package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// NewUser makes a user namespace with the given maps, which nothing but the descriptor keeps; without a map no id is known in it. The
// kernel refuses maps that overlap or are too many (340 lines): fs.ErrInvalid. See user_namespaces(7).
func NewUser(uids, gids []spec.IDMapping) (user *os.File, err error) {
	err = within(&process.Program{Clone: unix.CLONE_NEWUSER}, nil, func(pid int) (err error) {
		for file, maps := range map[string][]spec.IDMapping{"uid_map": uids, "gid_map": gids} {
			if len(maps) == 0 {
				continue
			}
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte(mapText(maps)), 0); err != nil {
				if errors.Is(err, unix.EINVAL) {
					err = fmt.Errorf("%w: %w", err, fs.ErrInvalid)
				}
				return err
			}
		}
		user, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
		return err
	})
	if err != nil {
		if user != nil {
			user.Close()
		}
		return nil, fmt.Errorf("cannot make a user namespace: %w", err)
	}
	return user, nil
}

// mapText is what uid_map and gid_map take: a line of first id inside, first id outside, length.
func mapText(maps []spec.IDMapping) string {
	var b strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

// NewIn makes the namespaces of some kinds of a sandbox so that they belong to a user namespace, with loopback up if wanted.
func NewIn(user *os.File, kinds []string, loopback bool) (files map[string]*os.File, err error) {
	flags := 0
	for _, k := range Kinds {
		for _, kind := range kinds {
			if kind == k.Name {
				flags |= k.Flag
			}
		}
	}
	p := &process.Program{}
	p.Call("join user namespace", "", unix.SYS_SETNS, p.File(FileUser), process.Int(unix.CLONE_NEWUSER))
	p.Call("make namespaces", fmt.Sprint(kinds), unix.SYS_UNSHARE, process.Int(flags))
	if loopback {
		LoopbackUp(p)
	}
	files = map[string]*os.File{}
	err = within(p, map[string]*os.File{FileUser: user}, func(pid int) error {
		for _, kind := range kinds {
			f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
			if err != nil {
				return err
			}
			files[kind] = f
		}
		return nil
	})
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return nil, fmt.Errorf("cannot make namespaces of a user namespace: %w", err)
	}
	return files, nil
}

// LoopbackUp adds the ops that bring up lo in the child's network namespace. See netdevice(7).
func LoopbackUp(p *process.Program) {
	const step = "bring up lo"
	s := p.CallFD(step, "", unix.SYS_SOCKET, process.Int(unix.AF_INET), process.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), process.Int(0))
	request := make([]byte, 40) // struct ifreq: a name of 16 bytes, then the flags
	copy(request, "lo")
	request[16] = unix.IFF_UP
	p.Call(step, "", unix.SYS_IOCTL, s, process.Int(unix.SIOCSIFFLAGS), process.Data(request))
	p.Call(step, "", unix.SYS_CLOSE, s)
}

// within runs a program and, before its child ends, does something with it.
func within(p *process.Program, files map[string]*os.File, do func(pid int) error) error {
	const told, done = "told", "done"
	var ready, end [2]int
	if err := unix.Pipe2(ready[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	toUs, fromChild := os.NewFile(uintptr(ready[0]), told), os.NewFile(uintptr(ready[1]), told)
	defer toUs.Close()
	defer fromChild.Close()
	if err := unix.Pipe2(end[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	toChild, ours := os.NewFile(uintptr(end[0]), done), os.NewFile(uintptr(end[1]), done)
	defer toChild.Close()
	defer ours.Close()
	p.Call("tell that it is there", "", unix.SYS_WRITE, p.File(told), process.Str("."), process.Int(1))
	p.Call("wait for the starter", "", unix.SYS_READ, p.File(done), process.Data(make([]byte, 1)), process.Int(1))
	all := map[string]*os.File{told: fromChild, done: toChild}
	for name, f := range files {
		all[name] = f
	}
	return process.RunWith(p, all, func(pid int) error {
		if _, err := toUs.Read(make([]byte, 1)); err != nil {
			return err
		}
		if err := do(pid); err != nil {
			return err
		}
		_, err := ours.Write([]byte{0})
		return err
	})
}
