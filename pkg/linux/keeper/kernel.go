package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// killCgroup kills every process in a cgroup and below; see cgroup.kill in the kernel's cgroup-v2.rst. Only for a cgroup that
// will be removed: from Linux 6.14 on (6.18 at least), every process cloned into it later is killed as well, because the count of
// kills that CLONE_INTO_CGROUP compares is taken from the parent's cgroup first and from the child's afterwards.
func killCgroup(cgroup string) error {
	f, err := os.OpenFile(filepath.Join(cgroup, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("1")
	return err
}

// How often, and after what pause, processes that fork while they are killed are looked for again.
const (
	killRounds = 100
	killPause  = time.Millisecond
)

// killListed kills every process in a cgroup one by one, which leaves the cgroup fit for a start.
func killListed(cgroup string) error {
	for range killRounds {
		pids := processesBelow(cgroup)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := killIn(cgroup, pid); err != nil {
				return err
			}
		}
		time.Sleep(killPause)
	}
	return fmt.Errorf("cannot kill all processes in %s: %w", cgroup, unix.EAGAIN)
}

// killIn kills a process if it is in the cgroup, and never a stranger that got its pid.
func killIn(cgroup string, pid int) error {
	pidfd, err := openIn(cgroup, pid)
	if err != nil {
		return ignoreDead(err)
	}
	defer pidfd.Close()
	return ignoreDead(process.Signal(pidfd, unix.SIGKILL))
}

// openIn opens a process in a cgroup or below it. A stranger that has its number now is ESRCH.
func openIn(cgroup string, pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	if !slices.Contains(processesBelow(cgroup), pid) {
		return nil, errors.Join(unix.ESRCH, pidfd.Close())
	}
	return pidfd, nil
}

// openOldest opens the process that was started in a cgroup, which is the oldest there; ESRCH if there is none.
func openOldest(cgroup string) (pid int, pidfd *os.File, err error) {
	if pid, _ = findInit(cgroup, false); pid == 0 {
		return 0, nil, unix.ESRCH
	}
	pidfd, err = openIn(cgroup, pid)
	return pid, pidfd, err
}

// processes lists those in a cgroup itself; none if it is gone.
func processes(cgroup string) (pids []int) {
	text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processesBelow lists those in a cgroup and in those below it, which further processes and containers make.
func processesBelow(cgroup string) []int {
	pids := processes(cgroup)
	entries, _ := os.ReadDir(cgroup)
	for _, entry := range entries {
		if entry.IsDir() {
			pids = append(pids, processesBelow(filepath.Join(cgroup, entry.Name()))...)
		}
	}
	return pids
}

// oomKills reads the line "oom_kill N" of a cgroup's file; 0 if there is none.
func oomKills(file string) uint64 {
	if file == "" {
		return 0
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			count, _ := strconv.ParseUint(strings.TrimSpace(n), 10, 64)
			return count
		}
	}
	return 0
}

// findInit finds the oldest process in a cgroup that is the first of its pid namespace, or without init just the oldest; 0 if
// there is none.
func findInit(cgroup string, init bool) (pid int, started uint64) {
	for _, p := range processes(cgroup) {
		if init && !isInit(p) {
			continue
		}
		if at, err := process.StartTime(p); err == nil && (pid == 0 || at < started) {
			pid, started = p, at
		}
	}
	return pid, started
}

// isInit tells whether a process is the first of a pid namespace other than this one; see NSpid in proc_pid_status(5).
func isInit(pid int) bool {
	numbers, err := process.ReadField(fmt.Sprintf("/proc/%d/status", pid), "NSpid")
	fields := strings.Fields(numbers)
	return err == nil && len(fields) > 1 && fields[len(fields)-1] == "1"
}

// zombieExit reads how a dead process ended that its parent, not this process, has not reaped yet.
func zombieExit(pid int, startTime uint64) (process.Exit, bool) {
	stat, err := process.ReadStat(pid)
	if err != nil || stat.State != "Z" || stat.StartTime != startTime {
		return process.Exit{}, false
	}
	return stat.Exit, true
}
