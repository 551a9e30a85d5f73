package proc

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ticks is the unit of times in /proc: USER_HZ, a hundred a second on every architecture Go runs on (asm-generic/param.h).
const ticks = 100

// longestCommand is how much of a command line is read.
const longestCommand = 4 << 10

var pageSize = uint64(os.Getpagesize())

// Process reads a process. boot is BootTime.
func (d Dir) Process(boot time.Time) (p spec.Process, err error) {
	stat, err := d.read("stat", maxFile)
	if err == nil {
		err = parseStat(string(stat), boot, &p)
	}
	if err != nil {
		return p, err
	}
	status, err := d.read("status", maxFile)
	if err != nil {
		return p, err
	}
	parseStatus(string(status), &p)
	command, err := d.read("cmdline", longestCommand)
	p.Command = splitCommand(command)
	return p, err
}

// StartTime is when the process started, in ticks since boot, as process.StartTime has it.
func (d Dir) StartTime() (uint64, error) {
	text, err := d.read("stat", maxFile)
	if err != nil {
		return 0, err
	}
	_, fields, err := splitStat(string(text))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(fields[fieldStartTime], 10, 64)
}

// The fields of /proc/PID/stat, which counts from 1, as they follow the name, which is the second.
const (
	fieldState = iota
	fieldPPid
	fieldUserTime  = 14 - 3
	fieldSysTime   = 15 - 3
	fieldThreads   = 20 - 3
	fieldStartTime = 22 - 3
	fieldRSS       = 24 - 3
)

// splitStat is process.SplitStat of a text with all these fields.
func splitStat(stat string) (head string, fields []string, err error) {
	if head, fields, err = process.SplitStat(stat); err == nil && len(fields) <= fieldRSS {
		err = fmt.Errorf("unexpected stat %.100q: %w", stat, fs.ErrInvalid)
	}
	return head, fields, err
}

func parseStat(stat string, boot time.Time, p *spec.Process) error {
	head, fields, err := splitStat(stat)
	if err != nil {
		return err
	}
	pid, comm, _ := strings.Cut(head, " (")
	p.Pid, _ = strconv.Atoi(pid)
	p.Comm, p.State = comm, fields[fieldState]
	p.PPid, _ = strconv.Atoi(fields[fieldPPid])
	p.Threads, _ = strconv.Atoi(fields[fieldThreads])
	user, system := unsigned(fields[fieldUserTime]), unsigned(fields[fieldSysTime])
	p.CPUUsec = (user + system) * (1e6 / ticks)
	p.StartedAt = boot.Add(time.Duration(unsigned(fields[fieldStartTime])) * (time.Second / ticks))
	p.RSS = unsigned(fields[fieldRSS]) * pageSize
	p.ContainerPid = p.Pid // where there is no other
	return nil
}

// parseStatus reads the lines of /proc/PID/status that stat does not have. The name comes first there, escaped, so that it cannot pass
// for another line.
func parseStatus(status string, p *spec.Process) {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		words := strings.Fields(value)
		switch {
		case key == "Uid" && len(words) > 1:
			p.UID = uint32(unsigned(words[1]))
		case key == "NSpid" && len(words) > 0: // one for each pid namespace from ours inwards
			p.ContainerPid, _ = strconv.Atoi(words[len(words)-1])
		}
	}
}

func unsigned(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// splitCommand splits a command line at its NULs; a process may have written anything into it.
func splitCommand(text []byte) (words []string) {
	text = bytes.TrimRight(text, "\x00")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// BootTime is when this machine booted by its present clock, on which the start times of processes build.
func BootTime() (time.Time, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}, err
	}
	seconds, _, _ := strings.Cut(string(text), " ")
	up, err := time.ParseDuration(seconds + "s")
	if err != nil {
		return time.Time{}, fmt.Errorf("unexpected /proc/uptime %q: %w", text, fs.ErrInvalid)
	}
	return time.Now().Round(0).UTC().Add(-up), nil
}
