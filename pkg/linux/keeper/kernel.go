package keeper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// killCgroup kills every process in a cgroup and below; see cgroup.kill in the kernel's cgroup-v2.rst.
func killCgroup(cgroup string) error {
	f, err := os.OpenFile(filepath.Join(cgroup, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("1")
	return err
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
	text, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		p, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || p <= 0 || init && !isInit(p) {
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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(status) {
		if pids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			fields := bytes.Fields(pids)
			return len(fields) > 1 && string(fields[len(fields)-1]) == "1"
		}
	}
	return false
}

// zombieExit reads how a dead process ended that its parent, not this process, has not reaped yet: the third and
// the last field of /proc/PID/stat; see proc_pid_stat(5).
func zombieExit(pid int, startTime uint64) (process.Exit, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process.Exit{}, false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const state, started, code = 0, 22 - 3, 52 - 3
	if len(fields) <= code || string(fields[state]) != "Z" || string(fields[started]) != strconv.FormatUint(startTime, 10) {
		return process.Exit{}, false
	}
	n, err := strconv.ParseUint(string(fields[code]), 10, 32)
	if err != nil {
		return process.Exit{}, false
	}
	status := unix.WaitStatus(n)
	if status.Signaled() {
		return process.Exit{Signal: status.Signal(), Core: status.CoreDump()}, true
	}
	return process.Exit{Code: status.ExitStatus()}, true
}
