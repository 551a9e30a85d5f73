package oci

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/proc"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Event is a line of Events: of type stats with data, or oom.
type Event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

// Stats is what a container uses and has used, in the words that engines know: times are nanoseconds, sizes bytes.
type Stats struct {
	CPU struct {
		Usage struct {
			Total  uint64 `json:"total,omitempty"`
			Kernel uint64 `json:"kernel"`
			User   uint64 `json:"user"`
		} `json:"usage"`
		Throttling struct {
			Periods          uint64 `json:"periods,omitempty"`
			ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
			ThrottledTime    uint64 `json:"throttledTime,omitempty"`
		} `json:"throttling"`
		PSI *PSI `json:"psi,omitempty"`
	} `json:"cpu"`
	Memory struct {
		Cache  uint64            `json:"cache,omitempty"`
		Usage  MemoryEntry       `json:"usage"`
		Swap   MemoryEntry       `json:"swap"`
		Kernel MemoryEntry       `json:"kernel"`
		Raw    map[string]uint64 `json:"raw,omitempty"`
		PSI    *PSI              `json:"psi,omitempty"`
	} `json:"memory"`
	Pids struct {
		Current uint64 `json:"current,omitempty"`
		Limit   uint64 `json:"limit,omitempty"`
	} `json:"pids"`
	Blkio struct {
		IoServiceBytesRecursive []BlkioEntry `json:"ioServiceBytesRecursive,omitempty"`
		IoServicedRecursive     []BlkioEntry `json:"ioServicedRecursive,omitempty"`
		PSI                     *PSI         `json:"psi,omitempty"`
	} `json:"blkio"`
	Hugetlb           map[string]HugetlbEntry `json:"hugetlb"`
	NetworkInterfaces []NetworkInterface      `json:"network_interfaces"`
}

// MemoryEntry is one count of memory; a limit of 1<<64-1 is none.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// BlkioEntry is one count of a disk.
type BlkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbEntry is the use of huge pages of one size.
type HugetlbEntry struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// NetworkInterface counts what went over an interface of the container.
type NetworkInterface struct {
	Name                                    string
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// PSI is one pressure file, total in microseconds.
type PSI struct {
	Some PSILine `json:"some"`
	Full PSILine `json:"full"`
}

// PSILine is one line of it.
type PSILine struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}

func psi(p spec.PSI) *PSI {
	line := func(l spec.PSILine) PSILine { return PSILine{l.Avg10, l.Avg60, l.Avg300, l.TotalUsec} }
	return &PSI{line(p.Some), line(p.Full)}
}

// Stats reads what a container uses. One that has stopped is ErrNotRunning.
func (r *Runtime) Stats(id string) (Event, error) {
	rec, group, err := r.running(id)
	if err != nil {
		return Event{}, err
	}
	defer group.Close()
	return statsOf(rec, group)
}

// running opens the cgroup of a container that has not stopped.
func (r *Runtime) running(id string) (record, *cgroup.Group, error) {
	rec, err := r.read(id)
	if err != nil {
		return rec, nil, err
	}
	if status, err := r.status(rec); err != nil {
		return rec, nil, err
	} else if status == specs.StateStopped {
		return rec, nil, ErrNotRunning
	}
	group, err := r.group(rec)
	return rec, group, err
}

func statsOf(rec record, group *cgroup.Group) (Event, error) {
	s, err := group.Stats()
	if err != nil {
		return Event{}, err
	}
	s.Network = interfaces(rec)
	return Event{Type: "stats", ID: rec.ID, Data: statsFrom(s)}, nil
}

// interfaces are those of the container's own network; none when that is the node's, or the container has just stopped.
func interfaces(rec record) []spec.InterfaceStats {
	theirs, err := namespace.OfProcess(rec.Pid, namespace.FileNet)
	if err != nil {
		return nil
	}
	if ours, err := namespace.OfProcess(os.Getpid(), namespace.FileNet); err != nil || ours == theirs {
		return nil
	}
	dir, err := proc.Open(rec.Pid)
	if err != nil {
		return nil
	}
	defer dir.Close()
	list, err := dir.Interfaces()
	if err != nil || !rec.lives() {
		return nil
	}
	return list
}

func statsFrom(s spec.Stats) (o Stats) {
	if c := s.CPU; c != nil {
		const ns = uint64(time.Microsecond)
		o.CPU.Usage.Total, o.CPU.Usage.Kernel, o.CPU.Usage.User = c.UsageUsec*ns, c.SystemUsec*ns, c.UserUsec*ns
		o.CPU.Throttling.Periods, o.CPU.Throttling.ThrottledPeriods, o.CPU.Throttling.ThrottledTime = c.NrPeriods, c.NrThrottled, c.ThrottledUsec*ns
	}
	if m := s.Memory; m != nil {
		o.Memory.Cache, o.Memory.Kernel.Usage = m.File, m.Kernel
		o.Memory.Usage = MemoryEntry{Limit: number(m.Max), Usage: m.Current, Max: m.Peak, Failcnt: m.Events.Max}
		o.Memory.Swap = MemoryEntry{Limit: number(m.SwapMax), Usage: m.SwapCurrent}
		o.Memory.Kernel.Limit = number(spec.Limit{})
		o.Memory.Raw = map[string]uint64{
			"anon": m.Anon, "file": m.File, "slab": m.Slab, "sock": m.Sock, "shmem": m.Shmem, "file_mapped": m.FileMapped, "file_dirty": m.FileDirty,
			"file_writeback": m.FileWriteback, "inactive_file": m.InactiveFile, "pgfault": m.Pgfault, "pgmajfault": m.Pgmajfault,
		}
	}
	if p := s.Pids; p != nil {
		if o.Pids.Current = p.Current; !p.Max.IsMax() && !p.Max.IsZero() {
			o.Pids.Limit = p.Max.Value()
		}
	}
	for _, d := range s.IO {
		o.Blkio.IoServiceBytesRecursive = append(o.Blkio.IoServiceBytesRecursive, blkio(d.Device, "Read", d.RBytes), blkio(d.Device, "Write", d.WBytes))
		o.Blkio.IoServicedRecursive = append(o.Blkio.IoServicedRecursive, blkio(d.Device, "Read", d.RIOs), blkio(d.Device, "Write", d.WIOs))
	}
	o.Hugetlb = map[string]HugetlbEntry{}
	for _, h := range s.Hugetlb {
		o.Hugetlb[h.Size] = HugetlbEntry{Usage: h.Current, Max: h.Peak, Failcnt: h.Failures}
	}
	for _, i := range s.Network {
		o.NetworkInterfaces = append(o.NetworkInterfaces, NetworkInterface(i))
	}
	if p := s.Pressure; p != nil {
		o.CPU.PSI, o.Memory.PSI, o.Blkio.PSI = psi(p.CPU), psi(p.Memory), psi(p.IO)
	}
	return o
}

// number is a limit as these words have it.
func number(l spec.Limit) uint64 {
	if l.IsZero() || l.IsMax() {
		return 1<<64 - 1
	}
	return l.Value()
}

func blkio(device, op string, value uint64) BlkioEntry {
	major, minor, _ := strings.Cut(device, ":")
	e := BlkioEntry{Op: op, Value: value}
	e.Major, _ = strconv.ParseUint(major, 10, 64)
	e.Minor, _ = strconv.ParseUint(minor, 10, 64)
	return e
}

// oomLook is how often kills are looked for.
const oomLook = 100 * time.Millisecond

// Events tells of a container's statistics again and again, and of each kill for want of memory, until it has stopped.
func (r *Runtime) Events(ctx context.Context, id string, every time.Duration, tell func(any) error) error {
	rec, group, err := r.running(id)
	if err != nil {
		return err
	}
	defer group.Close()
	kills, err := group.OOMKills()
	if err != nil {
		return gone(err)
	}
	stats, look := time.NewTicker(every), time.NewTicker(min(oomLook, every))
	defer stats.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
			now, err := group.OOMKills()
			for ; err == nil && kills < now; kills++ {
				if err := tell(Event{Type: "oom", ID: id}); err != nil {
					return err
				}
			}
			if !rec.lives() || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
		case <-stats.C:
			e, err := statsOf(rec, group)
			if err == nil {
				err = tell(e)
			}
			if err != nil {
				return gone(err)
			}
		}
	}
}
