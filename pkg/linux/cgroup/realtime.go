package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Real-time runtime is handed down like money: all that a cgroup's children have is taken of its own (sched-rt-group.rst, section 2.1), and a
// new cgroup has none.
const rtRuntime, rtPeriod = "cpu.rt_runtime_us", "cpu.rt_period_us"

// endow writes a runtime and, when the kernel refuses it, gives the cgroups above what is lacking first. What they no longer need they
// keep for the next one. What a removed cgroup had is free again only when the kernel has forgotten it, so nothing is summed up here.
func endow(dir root, text string) error {
	err := dir.write(rtRuntime, text)
	wanted, _ := strconv.ParseInt(text, 10, 64)
	if !errors.Is(err, unix.EINVAL) || wanted <= 0 {
		return err
	}
	own, err1 := rtNumber(dir, rtRuntime)
	period, err2 := rtNumber(dir, rtPeriod)
	above, isTop, err3 := parentOf(dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	defer above.dir.Close()
	if isTop || wanted > period || wanted <= own {
		return fmt.Errorf("write %s: %w\nhint: the node gives all cgroups together what /sys/fs/cgroup/cpu/%s says", dir.path(rtRuntime), err, rtRuntime)
	}
	have, err1 := rtNumber(above, rtRuntime)
	aboves, err2 := rtNumber(above, rtPeriod)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := endow(above, strconv.FormatInt(have+((wanted-own)*aboves+period-1)/period, 10)); err != nil {
		return err
	}
	return dir.write(rtRuntime, text)
}

func rtNumber(dir root, file string) (int64, error) {
	text, err := dir.read(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

// parentOf opens the cgroup above one; isTop tells that it is the root of the hierarchy, which has what the node has.
func parentOf(dir root) (above root, isTop bool, err error) {
	above, err = openRoot(filepath.Dir(dir.dir.Name()))
	if err != nil {
		return root{}, false, err
	}
	var one, other unix.Stat_t
	err = errors.Join(unix.Fstat(int(above.dir.Fd()), &one), unix.Stat(filepath.Dir(above.dir.Name()), &other))
	if err != nil {
		_ = above.dir.Close()
	}
	return above, one.Dev != other.Dev, err
}
