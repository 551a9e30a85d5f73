package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Thread is what a thread has chosen and no image of criu's holds. Zero values are what it inherits.
type Thread struct {
	// ID is its number in the container.
	ID int `json:"id"`
	// CPUs are the processors it runs on, as a list.
	CPUs string `json:"cpus,omitzero"`
	// IOPriority is as ioprio_set(2) has it.
	IOPriority int `json:"ioPriority,omitzero"`
	// TimerSlack is in nanoseconds.
	TimerSlack uint64 `json:"timerSlack,omitzero"`
	// DumpFilter is the process's, see core(5).
	DumpFilter string `json:"dumpFilter,omitzero"`
}

// What every process begins with, see attribute.Table.
const (
	usualSlack  = 50_000
	usualFilter = "00000033"
)

// whoProcess is IOPRIO_WHO_PROCESS of ioprio_set(2): a thread, really.
const whoProcess = 1

// keyCPUs is the line of /proc/PID/status with a thread's processors.
const keyCPUs = "Cpus_allowed_list"

// Threads tells of all threads that have something of their own. They stand still.
func (d *Dump) Threads() (all []Thread, err error) {
	usual, err := d.usualCPUs()
	if err != nil {
		return nil, err
	}
	err = eachThread(d.Cgroup, func(pid, tid, id int) error {
		t, err := threadOf(pid, tid, usual)
		if t != (Thread{}) && err == nil {
			t.ID = id
			all = append(all, t)
		}
		return err
	})
	return all, err
}

// usualCPUs are lists of processors that a thread has without its doing.
func (d *Dump) usualCPUs() (map[string]bool, error) {
	usual := map[string]bool{}
	if own, err := process.ReadField("/proc/self/status", keyCPUs); err == nil {
		usual[own] = true
	}
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	usual[strings.TrimSpace(string(online))] = true
	if set := d.Instance.Resources.Cpuset.Cpus; set != "" {
		usual = map[string]bool{set: true}
	}
	return usual, nil
}

func threadOf(pid, tid int, usual map[string]bool) (t Thread, err error) {
	task := fmt.Sprintf("/proc/%d/task/%d", pid, tid)
	cpus, err := process.ReadField(task+"/status", keyCPUs)
	if err != nil {
		return t, err
	}
	if !usual[cpus] {
		t.CPUs = cpus
	}
	if prio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(tid), 0); errno == 0 {
		t.IOPriority = int(prio)
	}
	slack, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	if err != nil {
		return t, err
	}
	if ns, err := strconv.ParseUint(strings.TrimSpace(string(slack)), 10, 64); err == nil && ns != usualSlack {
		t.TimerSlack = ns
	}
	if pid != tid {
		return t, nil
	}
	filter, err := os.ReadFile(fmt.Sprintf("/proc/%d/coredump_filter", pid)) // empty without memory
	if text := strings.TrimSpace(string(filter)); err == nil && text != usualFilter {
		t.DumpFilter = text
	}
	return t, err
}

// The class of an input/output priority, see ioprio_set(2).
const (
	ioClassShift = 13
	ioClassRT    = 1
)

// SetThreads gives the threads of a container that is restored, and does not run yet, what they had. What does not fit any more, such as a processor that the
// container may no longer use, is left out.
func (r *Restore) SetThreads(all []Thread) error {
	byID := map[int]Thread{}
	for _, t := range all {
		byID[t.ID] = t
	}
	if len(byID) == 0 {
		return nil
	}
	group, err := r.node.group(r.full.Metadata.Name, r.id)
	if err != nil {
		return err
	}
	return eachThread(group.Path(), func(pid, tid, id int) error {
		t, ok := byID[id]
		if !ok || pid == r.Pid {
			return nil
		}
		if t.IOPriority>>ioClassShift == ioClassRT && r.full.Spec.IOPriority.Class != spec.IOClassRT {
			t.IOPriority = 0 // which an image cannot give itself
		}
		if err := t.set(pid, tid); err != nil {
			return fmt.Errorf("cannot set up thread %d: %w", id, err)
		}
		return nil
	})
}

func (t Thread) set(pid, tid int) error {
	mask, err := attribute.NewMask(t.CPUs)
	if err != nil {
		return err
	}
	if mask != nil {
		if err := mask.Set(tid); err != nil && err != unix.EINVAL {
			return err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(tid), uintptr(t.IOPriority)); errno != 0 && errno != unix.ENOSYS && errno != unix.EPERM {
		return errno
	}
	for file, text := range map[string]string{fmt.Sprintf("/proc/%d/timerslack_ns", tid): slackText(t.TimerSlack), fmt.Sprintf("/proc/%d/coredump_filter", pid): t.DumpFilter} {
		if text == "" {
			continue
		}
		if strings.HasSuffix(file, "filter") {
			text = "0x" + text
		}
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			return err
		}
	}
	return nil
}

func slackText(ns uint64) string {
	if ns == 0 {
		return ""
	}
	return strconv.FormatUint(ns, 10)
}

// eachThread calls a function for each thread of a cgroup whose processes stand still, with its number in the container.
func eachThread(cgroup string, each func(pid, tid, id int) error) error {
	pids, err := survey.Pids(cgroup, isExec)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				return err
			}
			numbers, err := process.ReadField(task+"/status", "NSpid")
			if survey.Gone(err) {
				continue
			}
			if err != nil {
				return err
			}
			words := strings.Fields(numbers)
			id, err := strconv.Atoi(words[len(words)-1])
			if err != nil {
				return err
			}
			if err := each(pid, tid, id); err != nil && !survey.Gone(err) {
				return err
			}
		}
	}
	return nil
}
