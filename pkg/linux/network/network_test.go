package network_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// needNamespaces skips where namespaces cannot be made.
func needNamespaces(t testing.TB) {
	t.Helper()
	s, err := network.Make(spec.NetworkHost)
	if err != nil {
		t.Skipf("capability SYS_ADMIN: %v", err)
	}
	s.Close()
}

// threads are the namespaces of all threads of this process, each once.
func threads(t testing.TB) string {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var all []string
	for _, task := range tasks {
		var links []string
		for _, kind := range []string{"net", "ipc", "uts"} {
			link, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/" + kind)
			if err != nil {
				return threads(t) // the thread has just ended
			}
			links = append(links, link)
		}
		if line := strings.Join(links, " "); !seen[line] {
			seen[line] = true
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n")
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestMake(t *testing.T) {
	needNamespaces(t)
	before := threads(t)
	for mode, want := range map[spec.NetworkMode]string{spec.NetworkPrivate: "0x9", spec.NetworkNone: "0x8"} {
		s, err := network.Make(mode)
		if err != nil {
			t.Fatal(err)
		}
		if got := flags(t, s); got != want {
			t.Errorf("%s: lo has flags %s, want %s", mode, got, want)
		}
		for kind, f := range map[string]*os.File{"net": s.Net, "ipc": s.IPC, "uts": s.UTS} {
			mine, err := namespace.OfProcess(os.Getpid(), kind)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := namespace.Of(f); err != nil || got == mine {
				t.Errorf("%s %s: %v %v", mode, kind, got, err)
			}
		}
		s.Close()
	}
	s, err := network.Make(spec.NetworkHost)
	if err != nil || s.Net != nil || s.IPC == nil || s.UTS == nil {
		t.Errorf("Host: %+v %v", s, err)
	}
	s.Close()
	s.Close()
	if got := threads(t); got != before {
		t.Errorf("threads are in\n%s\nwere in\n%s", got, before)
	}
}

// flags are those of lo in a sandbox: IFF_UP is 1, IFF_LOOPBACK 8.
func flags(t testing.TB, s network.Sandbox) string {
	t.Helper()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	if err := unix.Setns(int(s.Net.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	text, err := loopbackFlags()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func loopbackFlags() (string, error) {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(sock)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return "", err
	}
	err = unix.IoctlIfreq(sock, unix.SIOCGIFFLAGS, req)
	return fmt.Sprintf("%#x", req.Uint16()&(unix.IFF_UP|unix.IFF_LOOPBACK)), err
}

func TestPool(t *testing.T) {
	needNamespaces(t)
	before, fds := threads(t), descriptors(t)
	p := network.NewPool(3)
	seen := map[namespace.ID]bool{}
	var lock sync.Mutex
	var users sync.WaitGroup
	var taken []network.Sandbox
	for range 4 {
		users.Go(func() {
			for range 5 {
				s, err := p.Take(spec.NetworkPrivate)
				if err != nil {
					t.Error(err)
					return
				}
				id, err := namespace.Of(s.Net)
				lock.Lock()
				if err != nil || seen[id] {
					t.Errorf("namespace %v given twice (%v)", id, err)
				}
				seen[id] = true
				taken = append(taken, s)
				lock.Unlock()
			}
		})
	}
	users.Wait()
	if s, err := p.Take(spec.NetworkHost); err != nil || s.Net != nil {
		t.Errorf("Host: %+v %v", s, err)
	} else {
		s.Close()
	}
	for _, s := range taken {
		if got := flags(t, s); got != "0x9" {
			t.Errorf("lo has flags %s", got)
		}
		s.Close()
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got := descriptors(t); got != fds {
		t.Errorf("%d descriptors, before %d", got, fds)
	}
	if got := threads(t); got != before {
		t.Errorf("threads are in\n%s\nwere in\n%s", got, before)
	}
}

func TestPoolClosedAtOnce(t *testing.T) {
	needNamespaces(t)
	for range 20 {
		p := network.NewPool(2)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	needNamespaces(b)
	for b.Loop() {
		s, err := network.Make(spec.NetworkPrivate)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func BenchmarkPool(b *testing.B) {
	needNamespaces(b)
	p := network.NewPool(4)
	defer p.Close()
	for b.Loop() {
		s, err := p.Take(spec.NetworkPrivate)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
