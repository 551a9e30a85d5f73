package keeper_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// further is the request for a further process in a running instance; ops come before its command. It is born inside, or made there.
func (n *node) further(r keeper.StartRequest, s keeper.Started, kind string, reborn bool, ops func(p *process.Program), script string) keeper.ExecRequest {
	n.t.Helper()
	x := keeper.ExecRequest{Key: r.Key, Cgroup: filepath.Join(r.Cgroup, kind+rand.Text()), Detach: kind == keeper.DetachedPrefix}
	if err := os.Mkdir(x.Cgroup, 0o755); err != nil {
		n.t.Fatal(err)
	}
	dir, err := os.Open(x.Cgroup)
	if err != nil {
		n.t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(s.Pid, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	x.Files = map[string]*os.File{"cgroup": dir, "target": os.NewFile(uintptr(fd), "target"), "null": null}
	n.t.Cleanup(func() {
		for _, f := range x.Files {
			f.Close()
		}
	})
	p := &x.Program
	p.Cgroup = "cgroup"
	p.File("cgroup")
	if reborn {
		p.Park()
		p.Call("join", "", unix.SYS_SETNS, p.File("target"), process.Int(unix.CLONE_NEWPID))
	} else {
		p.PidNS = "target"
		p.File("target")
	}
	for fd := range 3 {
		p.Call("connect", "", unix.SYS_DUP3, p.File("null"), process.Int(fd), process.Int(0))
	}
	if reborn {
		p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(0))
		p.Reborn()
	}
	if ops != nil {
		ops(p)
	}
	p.Call("execute", busybox, unix.SYS_EXECVE, process.Str(busybox), process.Strs([]string{"sh", "-c", script}), process.Strs([]string{"PATH=/bin:/usr/bin"}))
	return x
}

// offspring are the children of the keeper, as "pid state", but for those given.
func (n *node) offspring(but ...int) (list []string) {
	n.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", n.keeperPid()))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file)
	children:
		for _, pid := range strings.Fields(string(text)) {
			for _, known := range but {
				if pid == fmt.Sprint(known) {
					continue children
				}
			}
			stat, _ := os.ReadFile("/proc/" + pid + "/stat")
			_, state, _ := bytes.Cut(stat, []byte(") "))
			list = append(list, fmt.Sprintf("%s %.1s", pid, state))
		}
	}
	return list
}

// execGroups are the cgroups of further processes.
func execGroups(r keeper.StartRequest) (names []string) {
	for _, pattern := range []string{keeper.ExecPrefix, keeper.DetachedPrefix} {
		dirs, _ := filepath.Glob(filepath.Join(r.Cgroup, pattern+"*"))
		names = append(names, dirs...)
	}
	return names
}

func bothWays(t *testing.T, test func(t *testing.T, reborn bool)) {
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("reborn", func(t *testing.T) { test(t, true) })
}

// A further process that its container holds on its way, frozen or stopped, holds nobody else: it is killed, and said to be held.
func TestExecHeld(t *testing.T) { bothWays(t, testExecHeld) }

func testExecHeld(t *testing.T, reborn bool) {
	n := newNode(t)
	r, s := n.start("web", "exec sleep 100000")
	held := func(what string, x keeper.ExecRequest) {
		t.Helper()
		if _, err := n.client.Exec(t.Context(), x); !errors.Is(err, keeper.ErrHeld) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		n.eventually("no cgroup", func() bool { return len(execGroups(r)) == 0 })
		if left := n.offspring(s.Pid); len(left) > 0 {
			t.Errorf("%s: children are left: %v", what, left)
		}
	}
	freeze := func(to string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.Cgroup, "cgroup.freeze"), []byte(to), 0); err != nil {
			t.Fatal(err)
		}
	}
	freeze("1")
	held("paused", n.further(r, s, keeper.ExecPrefix, reborn, nil, "true"))
	held("paused", n.further(r, s, keeper.DetachedPrefix, reborn, nil, "true"))
	freeze("0")
	stop := func(p *process.Program) {
		self := p.CallFD("ask", "", unix.SYS_GETPID)
		p.Call("stop", "", unix.SYS_KILL, self, process.Int(int(unix.SIGSTOP)))
	}
	held("stopped", n.further(r, s, keeper.ExecPrefix, reborn, stop, "true"))
	x, err := n.client.Exec(t.Context(), n.further(r, s, keeper.ExecPrefix, reborn, nil, "exit 4"))
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := x.Wait(t.Context()); exit.Code != 4 || err != nil {
		t.Errorf("exit = %+v, %v", exit, err)
	}
	x.Close()
}

// sessions starts some further processes with sessions and a detached one, all with children that do not listen.
func (n *node) sessions(r keeper.StartRequest, s keeper.Started, reborn bool) (attended []*keeper.Exec, detached *keeper.Exec) {
	n.t.Helper()
	const stubborn = `trap "" TERM HUP; sleep 100000 & setsid sleep 100000 & wait`
	for range 3 {
		x, err := n.client.Exec(n.t.Context(), n.further(r, s, keeper.ExecPrefix, reborn, nil, stubborn))
		if err != nil {
			n.t.Fatal(err)
		}
		attended = append(attended, x)
	}
	detached, err := n.client.Exec(n.t.Context(), n.further(r, s, keeper.DetachedPrefix, reborn, nil, stubborn))
	if err != nil {
		n.t.Fatal(err)
	}
	return attended, detached
}

// outlived checks what is left when the keeper has become another one: of the sessions nothing, and the detached process until it ends.
func (n *node) outlived(r keeper.StartRequest, attended []*keeper.Exec, detached *keeper.Exec) {
	n.t.Helper()
	for _, x := range attended {
		if _, err := x.Wait(n.t.Context()); err == nil || !strings.Contains(err.Error(), "hung up") {
			n.t.Errorf("err = %v", err)
		}
		x.Close()
	}
	n.eventually("only the detached process", func() bool {
		groups := execGroups(r)
		return len(groups) == 1 && strings.Contains(groups[0], keeper.DetachedPrefix)
	})
	if err := unix.Kill(detached.Pid, 0); err != nil {
		n.t.Errorf("the detached process: %v", err)
	}
	detached.Close()
	if err := unix.Kill(detached.Pid, unix.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	n.eventually("end of the detached process with all of its own", func() bool { return len(execGroups(r)) == 0 })
}

// When the keeper dies the sessions of its further processes end, and the next one takes care of the detached ones.
func TestKeeperKilledWithExecs(t *testing.T) { bothWays(t, testKeeperKilledWithExecs) }

func testKeeperKilledWithExecs(t *testing.T, reborn bool) {
	n := newNode(t)
	r, s := n.start("web", "exec sleep 100000")
	attended, detached := n.sessions(r, s, reborn)
	n.killKeeper()
	n.client = n.ensure()
	n.outlived(r, attended, detached)
	if left := n.offspring(); len(left) > 0 {
		t.Errorf("children: %v", left)
	}
}

// An upgraded keeper is still the parent of what it finds: nothing of the sessions stays behind, dead or alive.
func TestKeeperUpgradedWithExecs(t *testing.T) { bothWays(t, testKeeperUpgradedWithExecs) }

func testKeeperUpgradedWithExecs(t *testing.T, reborn bool) {
	n := newNode(t)
	r, s := n.start("web", "exec sleep 100000")
	attended, detached := n.sessions(r, s, reborn)
	exe, err := keeper.Sealed("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	if err := n.client.Upgrade(t.Context(), exe); err != nil {
		t.Fatal(err)
	}
	n.outlived(r, attended, detached)
	n.eventually("no child but the container's", func() bool { return len(n.offspring(s.Pid)) == 0 })
	if err := n.client.Kill(t.Context(), r.Key, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	n.exit(r, s)
}

// A keeper that is killed in the middle of an exec, or whose client is, leaves nothing of it.
func TestKilledWhileExecStarts(t *testing.T) { bothWays(t, testKilledWhileExecStarts) }

func testKilledWhileExecStarts(t *testing.T, reborn bool) {
	n := newNode(t)
	r, s := n.start("web", "exec sleep 100000")
	for i := range scaled(20, 400) {
		x := n.further(r, s, keeper.ExecPrefix, reborn, nil, "exec sleep 100000")
		client, err := keeper.Dial(t.Context(), n.run)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			further, err := client.Exec(t.Context(), x)
			if err == nil {
				_, err = further.Wait(t.Context())
				further.Close()
			}
			done <- err
		}()
		time.Sleep(time.Duration(i%20) * 100 * time.Microsecond)
		n.killKeeper()
		if err := <-done; err == nil {
			t.Error("it was not told of the keeper's end")
		}
		client.Close()
		if _, err := n.client.List(t.Context()); err != nil { // starts the next one
			t.Fatal(err)
		}
		n.eventually("no cgroup", func() bool { return len(execGroups(r)) == 0 })
	}
	if left := n.offspring(); len(left) > 0 {
		t.Errorf("children: %v", left)
	}
}

// However many sessions there are, the keeper hears others.
func TestManySessions(t *testing.T) {
	n := newNode(t)
	r, s := n.start("web", "exec sleep 100000")
	for range 300 {
		x, err := n.client.Exec(t.Context(), n.further(r, s, keeper.ExecPrefix, false, nil, "exec sleep 100000"))
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
	}
	if _, err := keeper.Dial(t.Context(), n.run); err != nil {
		t.Fatal(err)
	}
	if err := n.client.Kill(t.Context(), r.Key, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	n.exit(r, s)
	n.eventually("no child", func() bool { return len(n.offspring()) == 0 })
}
