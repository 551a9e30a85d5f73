package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bpfAttr is room for union bpf_attr. The kernel writes results beyond the size it is told (BPF_PROG_QUERY's revision, since Linux 6.6),
// so there is always more room than any field needs.
type bpfAttr [32]uint64

// bpf calls bpf(2). fields are the attributes, 32 bits each, in order; a 64 bit one is two of them, see words.
func bpf(command uintptr, fields ...uint32) (result int, attr *bpfAttr, err error) {
	attr = new(bpfAttr)
	words := unsafe.Slice((*uint32)(unsafe.Pointer(attr)), 2*len(attr))
	copy(words, fields)
	r, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr)/2)
	if errno != 0 {
		return -1, attr, errno
	}
	return int(r), attr, nil
}

// undisturbed calls f on a thread that gets no signals. The kernel gives up the check of a program as soon as one comes (signal_pending in
// kernel/bpf/verifier.c), and Go's runtime sends itself signals all the time.
func undisturbed(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	}
	f()
}

// pointer is an address as two fields, lower half first. The caller keeps what it points to alive.
func pointer[T any](p *T) (low, high uint32) {
	address := uint64(uintptr(unsafe.Pointer(p)))
	return uint32(address), uint32(address >> 32)
}

// programName tells our programs from those that systemd or a container's own engine attach to the same cgroup.
const programName = "reconciler_dev"

// loadDevices loads a device program.
func loadDevices(code []byte) (*os.File, error) {
	license := []byte("Apache-2.0\x00") // it calls no function that wants another
	codeLow, codeHigh := pointer(&code[0])
	licenseLow, licenseHigh := pointer(&license[0])
	var name [4]uint32
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&name)), unix.BPF_OBJ_NAME_LEN-1), programName)
	var fd int
	var err error
	undisturbed(func() {
		fd, _, err = bpf(unix.BPF_PROG_LOAD,
			unix.BPF_PROG_TYPE_CGROUP_DEVICE, uint32(len(code)/8), codeLow, codeHigh, licenseLow, licenseHigh,
			0, 0, 0, 0, 0, 0, // no log, kernel version or flags
			name[0], name[1], name[2], name[3])
	})
	runtime.KeepAlive(code)
	runtime.KeepAlive(license)
	if err != nil {
		return nil, bpfError("load", err)
	}
	return os.NewFile(uintptr(fd), "device program"), nil
}

// bpfError makes the lack of programs errors.ErrUnsupported: EINVAL is a kernel without CONFIG_CGROUP_BPF.
func bpfError(verb string, err error) error {
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return &ControllerError{Controller: "devices", Err: fmt.Errorf("cannot %s a device program: %w", verb, err)}
	}
	return fmt.Errorf("cannot %s a device program: %w", verb, err)
}

// programs keeps the programs that were loaded, because most containers have the same.
type programs struct {
	mu     sync.Mutex
	loaded map[string]*os.File // by their code
}

// maxPrograms bounds what is kept: beyond, all are loaded anew.
const maxPrograms = 16

// with calls f with the program of a code.
func (p *programs) with(code []byte, f func(program *os.File) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	program := p.loaded[string(code)]
	if program == nil {
		var err error
		if program, err = loadDevices(code); err != nil {
			return err
		}
		if len(p.loaded) >= maxPrograms {
			p.closeAll()
		}
		if p.loaded == nil {
			p.loaded = map[string]*os.File{}
		}
		p.loaded[string(code)] = program
	}
	return f(program)
}

func (p *programs) closeAll() {
	for code, program := range p.loaded {
		_ = program.Close()
		delete(p.loaded, code)
	}
}

func (p *programs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeAll()
}

// attachDevices gives the group a program in place of the one it has.
func (g *Group) attachDevices(rules []deviceRule) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	defer dir.Close()
	return g.parent.programs.with(encode(deviceProgram(rules)), func(program *os.File) error {
		var old *os.File
		if !g.fresh.devices {
			if old, err = attachedDevices(dir); err != nil {
				return err
			}
		}
		if old == nil {
			return attach(dir, program, unix.BPF_F_ALLOW_MULTI, nil)
		}
		defer old.Close()
		return attach(dir, program, unix.BPF_F_ALLOW_MULTI|unix.BPF_F_REPLACE, old)
	})
}

// attach attaches a program, in one step with taking another one away if there is one. ALLOW_MULTI lets an engine inside the container
// have programs of its own; all of them must say yes.
func attach(dir, program *os.File, flags uint32, old *os.File) error {
	var replaced uint32
	if old != nil {
		replaced = uint32(old.Fd())
	}
	_, _, err := bpf(unix.BPF_PROG_ATTACH, uint32(dir.Fd()), uint32(program.Fd()), unix.BPF_CGROUP_DEVICE, flags, replaced)
	if err != nil {
		return bpfError("attach", err)
	}
	return nil
}

// attachedDevices is our program in a cgroup, nil when there is none. Those of others are passed over.
func attachedDevices(dir *os.File) (*os.File, error) {
	var ids [64]uint32
	low, high := pointer(&ids[0])
	_, attr, err := bpf(unix.BPF_PROG_QUERY, uint32(dir.Fd()), unix.BPF_CGROUP_DEVICE, 0, 0, low, high, uint32(len(ids)))
	runtime.KeepAlive(&ids)
	if err != nil {
		return nil, bpfError("find", err)
	}
	count := uint32(attr[3])
	for _, id := range ids[:min(count, uint32(len(ids)))] {
		fd, _, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, id)
		if errors.Is(err, unix.ENOENT) { // gone meanwhile
			continue
		}
		if err != nil {
			return nil, bpfError("find", err)
		}
		program := os.NewFile(uintptr(fd), "device program")
		if isOurs(program) {
			return program, nil
		}
		_ = program.Close()
	}
	return nil, nil
}

// isOurs reads a program's name in struct bpf_prog_info.
func isOurs(program *os.File) bool {
	const nameAt = 64
	var info [256]byte
	low, high := pointer(&info[0])
	_, _, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, uint32(program.Fd()), uint32(len(info)), low, high)
	runtime.KeepAlive(&info)
	return err == nil && strings.HasPrefix(string(info[nameAt:]), programName+"\x00")
}

// detachDevices takes our program away, if there is one and if there are programs.
func (g *Group) detachDevices() error {
	if g.fresh.devices {
		return nil
	}
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	defer dir.Close()
	program, err := attachedDevices(dir)
	if program == nil || err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		return err
	}
	defer program.Close()
	if _, _, err := bpf(unix.BPF_PROG_DETACH, uint32(dir.Fd()), uint32(program.Fd()), unix.BPF_CGROUP_DEVICE); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bpfError("detach", err)
	}
	return nil
}

// ProbeDevicePrograms tells why this kernel cannot run device programs, nil if it can.
func ProbeDevicePrograms() error {
	program, err := loadDevices(encode(deviceProgram(nil)))
	if err == nil {
		err = program.Close()
	}
	return err
}
