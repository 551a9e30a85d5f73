package cgroup

import (
	"errors"
	"strconv"
	"strings"
)

// reclaim makes room before memory.max is lowered below what is in use, because the kernel would kill
// for it (cgroup-v2.rst, memory.max). memory.reclaim is there since Linux 5.19; before, this refuses.
func reclaim(dir root, text string) error {
	var over *UsageError
	if err := inUse(dir, "memory.current", text); !errors.As(err, &over) {
		return err
	}
	_ = dir.write("memory.reclaim", strconv.FormatUint(over.Usage-over.Wanted, 10)) // may get less: what counts is what is left
	return inUse(dir, "memory.current", text)
}

// inUse is a *UsageError when more is in use than limit would allow.
func inUse(dir root, file, limit string) error {
	if limit == "max" {
		return nil
	}
	text, err := dir.read(file)
	if err != nil {
		return err
	}
	usage, err1 := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	wanted, err2 := strconv.ParseUint(limit, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if usage > wanted {
		return &UsageError{File: dir.path(file), Usage: usage, Wanted: wanted}
	}
	return nil
}
