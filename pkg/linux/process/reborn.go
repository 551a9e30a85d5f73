package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reborn in place of a system call's number makes an op the point at which a parked process is replaced by its child.
const reborn = 1<<32 - 2

// Reborn appends the point at which a parked process has a child that goes on in its place, and ends: a child of the starter
// too (CLONE_PARENT), in the pid namespace that setns(2) has named for children, which the parked process itself has never been in.
// So whoever is in that namespace sees nothing but what the process has become by then. What must not be seen there (privileges,
// descriptors, memory) is given up before; what is a process's own (session, controlling terminal) is made after. Two processes count
// towards pids.max and RLIMIT_NPROC for a moment, and filters that are in force must allow prctl(2) and clone(2).
//
// The two share no memory but the image. With CLONE_VM, who traces the child inside would hold the strings of the parent outside. For the
// same reason the starter believes the child's pid only from the parked process, which tells it as its process name (PR_SET_NAME): the
// image is the child's to write to. Until then Parked.Pid is the parked process. If that is killed when it has just had its child
// nobody knows that one's pid: killing its cgroup ends it.
func (p *Program) Reborn() { p.Call("be born inside", "", reborn) }

// checkReborn: a process is reborn once at most, after it has parked, with something after it and no way around it, and where pids
// are the starter's.
func (p *Program) checkReborn() error {
	at, park := p.point(reborn), p.point(parks)
	if at < 0 {
		return nil
	}
	if park < 0 || park > at {
		return fmt.Errorf("bad program: op %d (%s): it has not parked", at, p.Ops[at].Step)
	}
	if err := p.checkPoint(reborn, "is born a second time", "skips the rebirth", "a rebirth"); err != nil {
		return err
	}
	if p.PidNS != "" || p.Clone&unix.CLONE_NEWPID != 0 {
		return fmt.Errorf("bad program: op %d (%s): the parked process is to be in the starter's pid namespace", at, p.Ops[at].Step)
	}
	return nil
}

// inherit reaps the parked process of a program with a rebirth, which has ended or is about to, and makes its child the one that counts.
// If it has none, it has failed in front of that, and its own end is the start's.
func (k *Parked) inherit() (end Exit, born bool, err error) {
	pid := k.told()
	end, err = Reap(k.Pidfd)
	if err != nil || pid == 0 {
		return end, false, err
	}
	fd, err := unix.PidfdOpen(pid, 0) // nobody but us reaps it, so it is there
	if err != nil {
		return end, false, fmt.Errorf("cannot open process %d, the child of %s: %w", pid, k.Pidfd.Name(), err)
	}
	pidfd := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	if _, _, err := Peek(pidfd); err != nil { // no child of ours: never to be signalled
		return end, false, errors.Join(err, pidfd.Close())
	}
	_ = k.Pidfd.Close()
	k.Process = Process{Pid: pid, Pidfd: pidfd}
	return end, true, nil
}

// bornName is what the parked process's name begins with when it has had its child. Before, it may be anything: the starter's, a descriptor's number.
const bornName = "born "

// told is the pid of the child that the parked process has had, 0 if there is none yet.
func (k *Parked) told() int {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", k.Pid))
	number, isTold := strings.CutPrefix(string(name), bornName)
	if err != nil || !isTold {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(number))
	return pid
}
