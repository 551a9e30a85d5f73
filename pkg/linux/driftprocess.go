package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// devices compares what decides on devices.
func (l *deepLook) devices() error {
	rules, err := cgroup.DeviceRules(l.in.Spec.Spec)
	if err != nil {
		return nil // a device of the node's is gone since; what was allowed stays so
	}
	found, wanted, err := l.group.DevicesDrift(rules)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l.differs("devices", found, wanted, true)
	return err
}

func (l *deepLook) setDevices([]string) error { return setDevices(l.group, l.in.Spec.Spec) }

// oomScore compares the badness of process 1.
func (l *deepLook) oomScore() error {
	said := l.in.Spec.Spec.OOMScoreAdj
	if said.IsZero() || l.has.Has(unix.CAP_SYS_RESOURCE) {
		return nil
	}
	text, err := process.Read(l.in.Pid, "oom_score_adj")
	if err != nil {
		return err
	}
	found, err := strconv.Atoi(strings.TrimSpace(text))
	if err == nil && found < said.Value() {
		l.differs("oomScoreAdj", strconv.Itoa(found), strconv.Itoa(said.Value()), false)
	}
	return err
}

// rlimits compares the hard limits of process 1.
func (l *deepLook) rlimits() error {
	if l.has.Has(unix.CAP_SYS_RESOURCE) {
		return nil
	}
	for i, name := range spec.RlimitNames {
		said, ok := l.in.Spec.Spec.Rlimits[name]
		if !ok {
			continue
		}
		hard, err := hardLimit(l.in.Pid, i)
		if err != nil {
			return err
		}
		if hard > uint64(said.Hard) { // -1 is RLIM_INFINITY
			l.differs("rlimits["+name+"]", rlimitText(hard), rlimitText(uint64(said.Hard)), false)
		}
	}
	return nil
}

// hardLimit reads a limit in /proc/PID/limits, which has them by number below a line of titles, in columns of 26 and 21 characters (proc_pid_limits in fs/proc/base.c).
// prlimit(2) does not show another user's without CAP_SYS_RESOURCE.
func hardLimit(pid, number int) (uint64, error) {
	const hardAt, hardEnd = 47, 67
	text, err := process.Read(pid, "limits")
	if err != nil {
		return 0, err
	}
	lines := strings.Split(text, "\n")
	if number+1 >= len(lines) || len(lines[number+1]) < hardEnd {
		return 0, fmt.Errorf("/proc/%d/limits has no limit %d: %w", pid, number, errEnded)
	}
	word := strings.TrimSpace(lines[number+1][hardAt:hardEnd])
	if word == "unlimited" {
		return unix.RLIM_INFINITY, nil
	}
	return strconv.ParseUint(word, 10, 64)
}

func rlimitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
