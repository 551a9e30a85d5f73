package linux

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// mostProcesses bounds how many processes of a container a look follows: it has its turn.
const mostProcesses = 1000

// cgroups finds processes of the container that are not in its cgroup.
func (l *deepLook) cgroups() (err error) {
	family := l.family() // before the cgroup is read: who is in neither list then was moved, or has ended
	if l.places, err = l.group.Places(); err != nil {
		return err
	}
	for _, p := range l.places {
		if found := l.outside(p, family); len(found) > 0 {
			l.differs("cgroup", l.whereabouts(p, found), p.Path, p.Takes(l.group))
		}
	}
	return nil
}

// outside are those of some processes that are not in a place, and still there.
func (l *deepLook) outside(p cgroup.Place, family []int) (found []int) {
	for _, pid := range family {
		if !p.Pids[pid] && runs(pid) && l.isContainers(pid) {
			found = append(found, pid)
		}
	}
	if found == nil {
		return nil
	}
	// One that was born, or moved, while the lists were read is in the list by now.
	again, err := l.group.Places()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(found, func(pid int) bool {
		return slices.ContainsFunc(again, func(o cgroup.Place) bool { return o.Hierarchy == p.Hierarchy && o.Pids[pid] })
	})
}

// whereabouts says where processes are: the first of them in full.
func (l *deepLook) whereabouts(p cgroup.Place, found []int) string {
	text := fmt.Sprintf("process %d in %s", found[0], p.Found(found[0]))
	if len(found) > 1 {
		text += fmt.Sprintf(", and %d more", len(found)-1)
	}
	return text
}

// returnAll moves what is outside back into the container's cgroup, until there is nothing: what is moved may have children meanwhile.
func (l *deepLook) returnAll([]string) error {
	for _, p := range l.places {
		for range moveRounds {
			now, err := l.group.Places()
			if err != nil {
				return err
			}
			at := slices.IndexFunc(now, func(o cgroup.Place) bool { return o.Hierarchy == p.Hierarchy })
			if at < 0 {
				break
			}
			found := l.outside(now[at], l.family())
			for _, pid := range found {
				if err := l.group.Return(now[at], pid); err != nil {
					return fmt.Errorf("cannot move process %d back: %w", pid, err)
				}
			}
			if len(found) == 0 {
				break
			}
		}
	}
	return nil
}

// moveRounds bounds how often processes are looked for that have moved: each round catches the children of what the one before did not.
const moveRounds = 20

// family are process 1 and what descends from it, as the kernel lists children (CONFIG_PROC_CHILDREN; without it, process 1 alone).
func (l *deepLook) family() []int {
	all := []int{l.in.Pid}
	for i := 0; i < len(all) && len(all) < mostProcesses; i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue
		}
		for _, task := range tasks {
			text, err := process.Read(all[i], "task/"+task.Name()+"/children")
			if err != nil {
				continue
			}
			for word := range strings.FieldsSeq(text) {
				if pid, err := strconv.Atoi(word); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// isContainers tells whether a process belongs to the container by its pid namespace; with the node's, whoever descends from process 1 does.
func (l *deepLook) isContainers(pid int) bool {
	return pid == l.in.Pid || !l.ownPIDs() || l.below(pid)
}

// ownPIDs tells whether the container has a pid namespace of its own.
func (l *deepLook) ownPIDs() bool {
	at := slices.IndexFunc(namespace.Kinds, func(k namespace.Kind) bool { return k.Name == namespace.FilePID })
	return l.isOwn(namespace.Kinds[at])
}

// strangers finds processes in the container's cgroup that are none of its pid namespace or one below. The keeper's children are on their way into it. Where
// the container has no pid namespace of its own nobody can tell.
func (l *deepLook) strangers() error {
	if !l.ownPIDs() || len(l.places) == 0 {
		return nil
	}
	own, err := namespace.OfProcess(l.in.Pid, namespace.FilePID)
	if err != nil {
		return err
	}
	keeper, err := process.ReadStat(l.in.Pid)
	if err != nil {
		return err
	}
	pids := slices.Sorted(maps.Keys(l.places[0].Pids)) // the same one is told of every time
	for _, pid := range pids[:min(len(pids), mostProcesses)] {
		if id, err := namespace.OfProcess(pid, namespace.FilePID); err != nil || id == own || l.below(pid) {
			continue
		}
		if stat, err := process.ReadStat(pid); err != nil || stat.Parent == keeper.Parent {
			continue
		}
		l.differs("cgroup.procs", fmt.Sprintf("process %d (%s) of the node", pid, commOf(pid)), "processes of the container alone", false)
		break
	}
	return nil
}

// below tells whether a process is in the container's pid namespace or in one below it, see NS_GET_PARENT in ioctl_nsfs(2).
func (l *deepLook) below(pid int) bool {
	own, err := namespace.OfProcess(l.in.Pid, namespace.FilePID)
	if err != nil {
		return false
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace.FilePID))
	for err == nil {
		id, failed := namespace.Of(f)
		if failed != nil || id == own {
			f.Close()
			return failed == nil
		}
		above, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nsGetParent, 0)
		f.Close()
		if errno != 0 { // EPERM above the node's own
			return false
		}
		f = os.NewFile(above, "pid namespace")
	}
	return false
}

// nsGetParent is NS_GET_PARENT of linux/nsfs.h.
const nsGetParent = 0xb702

func commOf(pid int) string {
	text, _ := process.Read(pid, "comm")
	return strings.TrimSpace(text)
}
