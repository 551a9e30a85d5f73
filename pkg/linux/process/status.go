package process

import (
	"fmt"
	"strconv"
	"strings"
)

// ReadField reads what a file of lines "KEY:\tVALUE" says of a key, such as /proc/PID/status or /proc/PID/fdinfo/FD; see proc_pid_status(5) and
// proc_pid_fdinfo(5). The error of a process that does not exist is fs.ErrNotExist or ESRCH.
func ReadField(file, key string) (string, error) {
	text, err := readFile(file)
	if err != nil {
		return "", err
	}
	value, ok := field(text, key)
	if !ok {
		return "", fmt.Errorf("cannot find %s in %s", key, file)
	}
	return value, nil
}

// ReadSets reads sets that /proc/PID/status has in hexadecimal, such as CapBnd and SigCgt, all at one moment.
func ReadSets(pid int, keys ...string) ([]uint64, error) {
	text, err := Read(pid, "status")
	if err != nil {
		return nil, err
	}
	sets := make([]uint64, len(keys))
	for i, key := range keys {
		value, _ := field(text, key)
		if sets[i], err = strconv.ParseUint(value, 16, 64); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", key, err)
		}
	}
	return sets, nil
}

// field is what the first line of a key says. A process's name cannot pass for one: the kernel escapes it.
func field(text, key string) (value string, ok bool) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
