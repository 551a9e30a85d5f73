package process

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stat is what /proc/PID/stat says of how a process is, see proc_pid_stat(5).
type Stat struct {
	State     string // R, S, D, T, t, Z...
	Parent    int
	StartTime uint64 // in clock ticks since boot
	Exit      Exit   // of a zombie
	Exiting   bool   // on its way to be one: it is that before the first of its descriptors is closed
}

// pfExiting is PF_EXITING of the kernel's include/linux/sched.h.
const pfExiting = 0x4

// Dead tells whether the process has ended, and is perhaps not reaped yet.
func (s Stat) Dead() bool { return strings.Contains("ZXx", s.State) }

// ReadStat reads it. The error of a process that does not exist is fs.ErrNotExist or ESRCH.
func ReadStat(pid int) (s Stat, err error) {
	text, err := Read(pid, "stat")
	if err != nil {
		return s, err
	}
	_, fields, err := SplitStat(text)
	if err != nil {
		return s, err
	}
	const state, parent, flags, startTime, exitCode = 0, 4 - 3, 9 - 3, 22 - 3, 52 - 3 // the first field here is the third
	if len(fields) <= exitCode {
		return s, fmt.Errorf("unexpected stat %.100q: %w", text, fs.ErrInvalid)
	}
	ended, err1 := strconv.ParseUint(fields[exitCode], 10, 32)
	s.StartTime, err = strconv.ParseUint(fields[startTime], 10, 64)
	above, err2 := strconv.Atoi(fields[parent])
	bits, err3 := strconv.ParseUint(fields[flags], 10, 64)
	s.State, s.Parent, s.Exit, s.Exiting = fields[state], above, exitOf(unix.WaitStatus(ended)), bits&pfExiting != 0
	return s, errors.Join(err, err1, err2, err3)
}

// SplitStat takes apart the text of /proc/PID/stat: the number and the name up to its closing parenthesis, which may itself hold spaces and
// parentheses, and the fields from the third on.
func SplitStat(text string) (head string, fields []string, err error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return "", nil, fmt.Errorf("unexpected stat %.100q: %w", text, fs.ErrInvalid)
	}
	return text[:end], strings.Fields(text[end+1:]), nil
}
