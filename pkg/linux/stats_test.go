package linux_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// stats reads an instance's statistics.
func (n *node) stats(t testing.TB, name string) spec.Stats {
	t.Helper()
	s, err := n.Stats(t.Context(), name, 1)
	must(t, err)
	return s
}

// What a container does shows in its figures: time, memory, tasks and what went over its loopback.
func TestStats(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	n := open(t)
	c := n.container("web", `head -c 8388608 /dev/zero >/dev/shm/file
		sleep 1000 | nc -l -p 7 127.0.0.1 >/dev/null & # its input stays open, or it would end with that
		until head -c 100000 /dev/zero | nc 127.0.0.1 7 2>/dev/null; do sleep 0.05; done
		echo up; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo counted; sleep 1000; true`)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	before := n.stats(t, "web")
	n.hear(t, "web", "counted")
	after := n.stats(t, "web")
	if used := after.CPU.UsageUsec - before.CPU.UsageUsec; used < 1000 || after.CPU.UserUsec == 0 {
		t.Errorf("counting took %d us of %+v", used, after.CPU)
	}
	if after.Memory.Current < 8*mebi || after.Pids.Current < 1 {
		t.Errorf("memory %+v, pids %+v", after.Memory, after.Pids)
	}
	if len(after.Network) != 1 || after.Network[0].Name != "lo" || after.Network[0].RxBytes < 100_000 || after.Network[0].RxBytes != after.Network[0].TxBytes || after.Network[0].RxPackets == 0 {
		t.Errorf("network %+v", after.Network)
	}
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, func(spec.Instance) bool { return n.stats(t, "web").Pids.Current == 0 }) // an exit is recorded before it is reaped
	n.await(t, "web", 1, exited)
	if s := n.stats(t, "web"); s.Network != nil || s.Pids.Current != 0 || s.CPU.UsageUsec < after.CPU.UsageUsec {
		t.Errorf("after its end: %+v, pids %+v, cpu %+v", s.Network, s.Pids, s.CPU)
	}
}

// A container in the node's network has no figures of its own for it.
func TestStatsInTheHostNetwork(t *testing.T) {
	n := open(t)
	c := n.container("web", "echo up; sleep 1000; true")
	c.Spec.Network.Mode = spec.NetworkHost
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	if s := n.stats(t, "web"); s.Network != nil {
		t.Errorf("got %+v", s.Network)
	}
}

// Processes show under both their numbers, with names of their own choice, those of nested groups too.
func TestProcesses(t *testing.T) {
	n := open(t)
	c := n.container("web", `sh -c 'printf "a) R 1 \033[2J\n" >/proc/self/comm; echo named; read x < /dev/null; sleep 1000; true' & sleep 1000 & sleep 0.1; echo up; wait`)
	c.Spec.User = "web"
	before := time.Now().Add(-time.Second)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	n.hear(t, "web", "named")
	all, err := n.Processes(t.Context(), "web", 1)
	must(t, err)
	if !slices.IsSortedFunc(all, func(a, b spec.Process) int { return a.Pid - b.Pid }) {
		t.Errorf("not sorted: %+v", all)
	}
	first := n.look(t, "web", 1).Pid
	found := map[string]int{}
	for _, p := range all {
		switch {
		case p.Pid == first:
			found["first"] = p.ContainerPid
			if len(p.Command) != 3 || !strings.Contains(p.Command[2], "echo up") || p.UID != 1000 {
				t.Errorf("process 1 is %+v", p)
			}
		case p.Comm == "a) R 1 \x1b[2J\n":
			found["named"]++
		case slices.Equal(p.Command, []string{"sleep", "1000"}):
			found["sleep"]++
		}
		if p.StartedAt.Before(before) || p.StartedAt.After(time.Now().Add(time.Second)) || p.Threads != 1 || p.RSS == 0 || p.Pid != first && p.PPid < first {
			t.Errorf("got %+v", p)
		}
	}
	if found["first"] != 1 || found["sleep"] < 1 || found["named"] < 1 {
		t.Errorf("found %v among %+v", found, all)
	}
	must(t, n.Pause(t.Context(), "web", 1))
	if paused, err := n.Processes(t.Context(), "web", 1); err != nil || len(paused) != len(all) {
		t.Errorf("paused: %+v, %v", paused, err)
	}
}

// Whatever ends or begins meanwhile, only processes of the container are listed, and a list is no error.
func TestProcessesThatComeAndGo(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", "echo up; while :; do /bin/true; done"), 1)
	n.hear(t, "web", "up")
	for range 200 {
		all, err := n.Processes(t.Context(), "web", 1)
		must(t, err)
		for _, p := range all {
			if p.ContainerPid < 1 || p.Pid == os.Getpid() {
				t.Fatalf("got %+v", p)
			}
		}
	}
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)
	if all, err := n.Processes(t.Context(), "web", 1); err != nil || len(all) != 0 {
		t.Errorf("after its end: %v, %v", all, err)
	}
	if _, err := n.Processes(t.Context(), "nobody", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := n.Stats(t.Context(), "nobody", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
}

// What a sample of a running container costs.
func BenchmarkStats(b *testing.B) {
	n := open(b)
	n.run(b, n.container("web", "sleep 1000; true"), 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Stats(b.Context(), "web", 1); err != nil {
			b.Fatal(err)
		}
	}
}
