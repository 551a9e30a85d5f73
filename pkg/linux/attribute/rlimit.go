package attribute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute/nofile"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Rlimit is one limit of setrlimit(2).
type Rlimit struct {
	Resource   int    // unix.RLIMIT_*, the index in spec.RlimitNames
	Soft, Hard uint64 // in the units of setrlimit(2); ^uint64(0) is RLIM_INFINITY
}

// unlimited is RLIM_INFINITY; inherited stands for the keeper's hard limit.
const (
	unlimited = unix.RLIM_INFINITY
	inherited = unix.RLIM_INFINITY - 1
)

// defaults are the limits a manifest does not say. All are what the kernel gives its first process (INIT_RLIMITS in
// asm-generic/resource.h), but for two. nofile: 1024, which select(2) can take, up to 524288, as systemd has it; the
// keeper's own soft limit is useless, since Go raises it. nproc: none, because it counts a uid's processes on the whole
// node, so that containers would limit each other; pids.max is the limit of one.
var defaults = [...]Rlimit{
	{unix.RLIMIT_CPU, unlimited, unlimited},
	{unix.RLIMIT_FSIZE, unlimited, unlimited},
	{unix.RLIMIT_DATA, unlimited, unlimited},
	{unix.RLIMIT_STACK, 8 << 20, unlimited},
	{unix.RLIMIT_CORE, 0, unlimited},
	{unix.RLIMIT_RSS, unlimited, unlimited},
	{unix.RLIMIT_NPROC, unlimited, unlimited},
	{unix.RLIMIT_NOFILE, 1024, 512 << 10},
	{unix.RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
	{unix.RLIMIT_AS, unlimited, unlimited},
	{unix.RLIMIT_LOCKS, unlimited, unlimited},
	{unix.RLIMIT_SIGPENDING, inherited, inherited}, // the kernel derives it from the node's memory
	{unix.RLIMIT_MSGQUEUE, 800 << 10, 800 << 10},
	{unix.RLIMIT_NICE, 0, 0},
	{unix.RLIMIT_RTPRIO, 0, 0},
	{unix.RLIMIT_RTTIME, unlimited, unlimited},
}

// Ceilings are the hard limits a start cannot exceed.
type Ceilings struct {
	// Hard are the keeper's hard limits by number.
	Hard [len(defaults)]uint64
	// Raise tells that it may exceed them: it holds CAP_SYS_RESOURCE.
	Raise bool
	// NrOpen is the ceiling of nofile for everybody, /proc/sys/fs/nr_open.
	NrOpen uint64
}

// ReadCeilings reads the ceilings of process pid, the keeper.
func ReadCeilings(pid int) (c Ceilings, err error) {
	for n := range c.Hard {
		var r unix.Rlimit
		if err := unix.Prlimit(pid, n, nil, &r); err != nil {
			return c, fmt.Errorf("cannot read rlimit %s of process %d: %w", spec.RlimitNames[n], pid, err)
		}
		c.Hard[n] = r.Max
	}
	node, err := capability.ReadNode(pid)
	if err != nil {
		return c, err
	}
	c.Raise = node.Have.Has(unix.CAP_SYS_RESOURCE)
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err == nil {
		c.NrOpen, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil {
		return c, fmt.Errorf("cannot read the ceiling of rlimit nofile: %w", err)
	}
	return c, nil
}

// of is the highest hard limit that resource n can have.
func (c Ceilings) of(n int) uint64 {
	ceiling := uint64(unlimited)
	if !c.Raise {
		ceiling = c.Hard[n]
	}
	if n == unix.RLIMIT_NOFILE {
		ceiling = min(ceiling, c.NrOpen)
	}
	return ceiling
}

// Rlimits are all limits of a process: those its manifest asks for, and the defaults as far as the ceilings let them.
// A limit asked for above its ceiling is an error, errors.ErrUnsupported.
func Rlimits(asked map[string]spec.Rlimit, c Ceilings) ([]Rlimit, error) {
	limits := make([]Rlimit, 0, len(defaults))
	for n, limit := range defaults {
		name, ceiling := spec.RlimitNames[n], c.of(n)
		if a, ok := asked[name]; ok {
			limit = Rlimit{n, uint64(a.Soft), uint64(a.Hard)} // -1 is RLIM_INFINITY
			if limit.Hard > ceiling {
				return nil, fmt.Errorf("cannot set rlimit %s to %d: the node's ceiling is %d: %w\nhint: raise the keeper's own limit, or give it CAP_SYS_RESOURCE", name, a.Hard, ceiling, errors.ErrUnsupported)
			}
		}
		if limit.Hard == inherited {
			limit.Soft, limit.Hard = c.Hard[n], c.Hard[n]
		}
		limits = append(limits, Rlimit{n, min(limit.Soft, ceiling), min(limit.Hard, ceiling)})
	}
	return limits, nil
}

// SaidRlimits are the limits of a process that inherits what its manifest does not ask for: from the keeper, but for nofile, which the
// keeper's runtime has raised for itself, and which is what the caller was started with.
func SaidRlimits(asked map[string]spec.Rlimit, c Ceilings) (limits []Rlimit, err error) {
	all, err := Rlimits(asked, c)
	if err != nil {
		return nil, err
	}
	for n, limit := range all {
		_, said := asked[spec.RlimitNames[n]]
		if n == unix.RLIMIT_NOFILE && !said {
			ceiling := c.of(n)
			limit, said = Rlimit{n, min(nofile.Initial.Soft, ceiling), min(nofile.Initial.Hard, ceiling)}, true
		}
		if said {
			limits = append(limits, limit)
		}
	}
	return limits, nil
}

// enoughFiles is a limit of descriptors that keeps no step of a start from opening a file.
const enoughFiles = 1024

// withoutFiles takes the limit of descriptors out of those that are set while the process is the node's: sysctls are to be opened after that, or descriptors
// moved, which a low one forbids. What only the node may raise it raises at once.
func withoutFiles(limits []Rlimit) (rest, ofFiles []Rlimit) {
	for _, l := range limits {
		if l.Resource == unix.RLIMIT_NOFILE {
			ofFiles = []Rlimit{l}
			if l.Soft = l.Hard; l.Hard < enoughFiles {
				continue
			}
		}
		rest = append(rest, l)
	}
	return rest, ofFiles
}

func setRlimits(p *process.Program, limits []Rlimit) {
	for _, l := range limits {
		b := binary.NativeEndian.AppendUint64(nil, l.Soft)
		b = binary.NativeEndian.AppendUint64(b, l.Hard)
		p.Call("set rlimit", spec.RlimitNames[l.Resource], unix.SYS_PRLIMIT64, process.Int(0), process.Int(l.Resource), process.Data(b), process.Int(0))
	}
}
