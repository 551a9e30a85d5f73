package linux_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Containers of every kind come and go, and nothing stays: no cgroup, mount, namespace, link, table, zombie, descriptor, goroutine, file or memory.
func TestCycles(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	ownNetwork(t, func(t *testing.T) {
		cycles := 100
		if os.Getenv("RECONCILER_SOAK") != "" {
			cycles = 10_000
		}
		n := open(t)
		hints, err := n.Events(t.Context())
		must(t, err)
		go func() {
			for range hints { // ends with the test
			}
		}()
		round := 0
		live := func(upTo int) {
			for lives := n.lives(); round < upTo; round++ {
				n.cycle(t, lives[round%len(lives)](round), round/len(lives))
			}
		}
		live(max(cycles/50, 2*len(n.lives()))) // every cache is filled, every first time has been
		before := n.figures(t)
		t.Logf("after %d: %v", round, before)
		for step := 1; step <= 10; step++ {
			live(cycles * step / 10)
			t.Logf("after %d: %v", round, n.figures(t))
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // the kernel takes some away by and by
			wrong := n.figures(t).beyond(before)
			if wrong == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d cycles left something:\n%s", cycles, strings.Join(wrong, "\n"))
			}
		}
	})
}

// lives are the kinds of containers, named by a number.
func (n *node) lives() []func(i int) []spec.Container {
	const script = "exec sleep 100000"
	one := func(name string, change func(s *spec.ContainerSpec)) func(i int) []spec.Container {
		return func(i int) []spec.Container {
			c := n.container(fmt.Sprintf("%s-%d", name, i), script)
			change(&c.Spec)
			return []spec.Container{c}
		}
	}
	return []func(i int) []spec.Container{
		one("plain", func(s *spec.ContainerSpec) { s.Resources.Memory.Max = spec.NewLimit(64 << 20) }),
		one("users", func(s *spec.ContainerSpec) { s.Namespaces.User.Mode = spec.UserAuto }),
		one("terminal", func(s *spec.ContainerSpec) { s.TTY, s.Stdin = true, true }),
		one("disk", func(s *spec.ContainerSpec) {
			s.Rootfs.ReadOnly, s.Rootfs.Writable = false, spec.Writable{Medium: spec.MediumDisk}
		}),
		one("bridge", func(s *spec.ContainerSpec) {
			s.Network = spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 18080, Container: 80}}}
		}),
		func(i int) []spec.Container {
			return n.containers(fmt.Sprintf("group-%d", i), map[string]string{"a": script, "b": script})
		},
		one("init", func(s *spec.ContainerSpec) { s.Init, s.Network.Mode = true, spec.NetworkNone }),
	}
}

// cycle is a life: created, started, executed in, every third time killed and started again, and destroyed while it runs.
func (n *node) cycle(t *testing.T, all []spec.Container, turn int) {
	t.Helper()
	for _, c := range all {
		n.run(t, c, 1)
	}
	name := all[0].Metadata.Name
	s, err := n.Exec(t.Context(), name, 1, command("true"))
	must(t, err)
	if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 0 {
		t.Fatalf("%s: %+v, %v", name, exit, err)
	}
	must(t, s.Close())
	if turn%3 == 2 {
		must(t, n.Kill(t.Context(), name, 1, "SIGKILL"))
		n.await(t, name, 1, exited)
		must(t, n.Start(t.Context(), name, 1))
	}
	for _, c := range all {
		must(t, n.Destroy(t.Context(), c.Metadata.Name, 1, false))
	}
}

// figures are what a node has of everything.
type figures struct {
	inventory  kerneltest.Inventory // with the links and the table of rules
	zombies    int
	goroutines int   // the agent's
	threads    int   // the keeper's
	agent      int64 // resident bytes
	keeper     int64
}

func (n *node) figures(t *testing.T) (f figures) {
	t.Helper()
	keeper := n.keeper(t)
	f.inventory = kerneltest.Take(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, keeper}})
	f.inventory = slices.DeleteFunc(f.inventory, func(line string) bool { return strings.HasSuffix(line, "/keeper.log") }) // written when there is something to say
	links, err := net.Interfaces()
	must(t, err)
	for _, l := range links {
		f.inventory = append(f.inventory, "link "+l.Name)
	}
	rules, err := netlink.Dial(nil, unix.NETLINK_NETFILTER)
	must(t, err)
	defer rules.Close()
	if _, exists, err := nft.Comment(rules, network.TableName); err != nil || exists {
		f.inventory = append(f.inventory, fmt.Sprintf("table %s, %v", network.TableName, err))
	}
	f.zombies = zombies(keeper) + zombies(os.Getpid())
	debug.FreeOSMemory()
	f.goroutines = runtime.NumGoroutine()
	f.threads = int(status(keeper, "Threads:"))
	f.agent, f.keeper = status(os.Getpid(), "VmRSS:")<<10, status(keeper, "VmRSS:")<<10
	return f
}

func (f figures) String() string {
	return fmt.Sprintf("inventory of %d, %d zombies, %d goroutines, %d threads of the keeper, %.1f MiB and the keeper's %.1f MiB resident",
		len(f.inventory), f.zombies, f.goroutines, f.threads, float64(f.agent)/(1<<20), float64(f.keeper)/(1<<20))
}

// Growth that is no leak: the collector's, and threads that were once needed at the same time.
const (
	moreAgent   = 16 << 20
	moreKeeper  = 8 << 20
	moreThreads = 8
)

// beyond tells what there is that was not there before.
func (f figures) beyond(before figures) (wrong []string) {
	wrong = kerneltest.Diff(before.inventory, f.inventory)
	for _, count := range []struct {
		of        string
		is, bound int64
	}{
		{"zombies", int64(f.zombies), int64(before.zombies)},
		{"goroutines", int64(f.goroutines), int64(before.goroutines)},
		{"threads of the keeper", int64(f.threads), int64(before.threads + moreThreads)},
		{"resident bytes", f.agent, before.agent + moreAgent},
		{"resident bytes of the keeper", f.keeper, before.keeper + moreKeeper},
	} {
		if count.is > count.bound {
			wrong = append(wrong, fmt.Sprintf("%d %s, at most %d", count.is, count.of, count.bound))
		}
	}
	return wrong
}

// zombies counts the children of a process that it has not reaped.
func zombies(pid int) (count int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(text)) {
			stat, _ := os.ReadFile("/proc/" + child + "/stat")
			if bytes.Contains(stat, []byte(") Z ")) {
				count++
			}
		}
	}
	return count
}

// status is a number in /proc/PID/status.
func status(pid int, key string) (n int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), key); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}
