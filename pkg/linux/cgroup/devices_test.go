package cgroup_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func rule(allow bool, kind spec.DeviceRuleType, major, minor int, access string) spec.DeviceRule {
	r := spec.DeviceRule{Allow: allow, Type: kind, Access: access}
	if major >= 0 {
		r.Major = spec.NewNumber(uint64(major))
	}
	if minor >= 0 {
		r.Minor = spec.NewNumber(uint64(minor))
	}
	return r
}

// deviceCases are rules, and what a process may do then: nodes of memory devices (c 1:N) by number with r, w and m, and b for making a block
// node. The last one is more than a v1 list can keep.
var deviceCases = []struct {
	name  string
	rules []spec.DeviceRule
	want  string
}{
	{"default", spec.DefaultDeviceRules, "3rwm 5rwm 7rwm 11m b"},
	{"nothing", []spec.DeviceRule{{}}, "3 5 7 11"},
	{"everything", []spec.DeviceRule{{Allow: true}}, "3rwm 5rwm 7rwm 11rwm b"},
	{"one", []spec.DeviceRule{rule(true, "c", 1, 3, "")}, "3rwm 5 7 11"},
	{"read only", []spec.DeviceRule{rule(true, "c", 1, -1, "r")}, "3r 5r 7r 11r"},
	{"by minor of any driver", []spec.DeviceRule{rule(true, "a", -1, 5, "rw")}, "3 5rw 7 11"},
	{"the last one counts", []spec.DeviceRule{rule(true, "c", 1, 3, "rw"), rule(false, "c", 1, 3, "w")}, "3r 5 7 11"},
	{"a range denied after one allowed", []spec.DeviceRule{rule(true, "c", 1, 3, "rw"), rule(false, "c", 1, -1, "r")}, "3w 5 7 11"},
	{"read by one, written by another", []spec.DeviceRule{rule(true, "c", 1, -1, "r"), rule(true, "c", -1, 3, "w")}, "3rw 5r 7r 11r"},
	{"everything but one", []spec.DeviceRule{{Allow: true}, rule(false, "c", 1, 5, "")}, "3rwm 5 7rwm 11rwm b"},
	{"everything but making nodes", []spec.DeviceRule{{Allow: true}, rule(false, "a", -1, -1, "m")}, "3rw 5rw 7rw 11rw"},
	{"a range but one", []spec.DeviceRule{rule(true, "c", 1, -1, "rw"), rule(false, "c", 1, 5, "w")}, "3rw 5r 7rw 11rw"},
}

// Devices are used from inside, as the rules say, while they change under a running process; on each kind of host.
func TestDevices(t *testing.T) {
	kerneltest.Require(t, feature.DevicePrograms)
	for name, group := range map[string]func(t *testing.T) *cgroup.Group{
		"program": func(t *testing.T) *cgroup.Group { return created(t, kerneltest.Cgroups(t), "web", 1) },
		"list":    listedGroup,
	} {
		t.Run(name, func(t *testing.T) {
			g := group(t)
			try := tryDevices(t, g, memoryDevices(t))
			if got, want := try(), "3rwm 5rwm 7rwm 11rwm b"; got != want {
				t.Errorf("before any rules: %q, want %q", got, want)
			}
			for range 2 { // each after each other
				for _, c := range deviceCases {
					for range 2 {
						must(t, g.SetDevices(c.rules))
					}
					if got := try(); got != c.want {
						t.Errorf("%s: %q, want %q", c.name, got, c.want)
					}
				}
			}
		})
	}
}

// memoryDevices is a directory with nodes of c 1:N.
func memoryDevices(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, minor := range []uint32{3, 5, 7, 11} {
		must(t, unix.Mknod(fmt.Sprintf("%s/%d", dir, minor), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
	}
	return dir
}

// tryDevices starts a shell in the group that tries everything each time it is asked.
func tryDevices(t *testing.T, g *cgroup.Group, dir string) func() string {
	t.Helper()
	must(t, unix.Mkfifo(filepath.Join(dir, "ask"), 0o600))
	must(t, unix.Mkfifo(filepath.Join(dir, "answer"), 0o600))
	start(t, g, `cd `+dir+`
busybox() { /bin/busybox "$@"; }
while read line < ask; do
  said=
  for n in 3 5 7 11; do
    said="$said $n"
    (: < $n) 2>&- && said="${said}r"
    (: >> $n) 2>&- && said="${said}w"
    if busybox mknod made c 1 $n 2>&-; then said="${said}m"; busybox rm made; fi
  done
  if busybox mknod made b 7 200 2>&-; then said="$said b"; busybox rm made; fi
  echo $said > answer
done`)
	return func() string {
		must(t, os.WriteFile(filepath.Join(dir, "ask"), []byte("go\n"), 0))
		f, err := os.Open(filepath.Join(dir, "answer"))
		must(t, err)
		defer f.Close()
		text, err := io.ReadAll(f)
		must(t, err)
		return strings.TrimSpace(string(text))
	}
}

// listedGroup is a group that is in a v1 devices hierarchy, as an OCI container's is.
func listedGroup(t *testing.T) *cgroup.Group {
	t.Helper()
	tree := kerneltest.Tree(t)
	if tree.V1["devices"] == "" {
		t.Skip("skip: needs devices as a v1 hierarchy")
	}
	g, err := cgroup.At(tree, kerneltest.Parent(t)+"/engine/c1")
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	must(t, g.Create())
	return g
}

// The list holds exactly what is said, for those who read it.
func TestDeviceListShows(t *testing.T) {
	g := listedGroup(t)
	must(t, g.SetDevices(spec.DefaultDeviceRules))
	text, err := os.ReadFile(filepath.Join(kerneltest.Tree(t).V1["devices"], g.String(), "devices.list"))
	must(t, err)
	for _, want := range []string{"c *:* m", "b *:* m", "c 1:3 rwm", "c 5:2 rwm", "c 136:* rwm"} {
		if !strings.Contains("\n"+string(text), "\n"+want+"\n") {
			t.Errorf("the list has not got %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "a *:*") || strings.Count(string(text), "\n") != 10 {
		t.Errorf("the list:\n%s", text)
	}
}

func TestDevicesOfAnUnknownGroup(t *testing.T) {
	g := groupOf(t, kerneltest.Cgroups(t), "nobody", 1)
	if err := g.SetDevices(spec.DefaultDeviceRules); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// The kernel gives up its check of a program when a signal comes, as they do all the time from Go's own runtime.
func TestDevicesUnderSignals(t *testing.T) {
	kerneltest.Require(t, feature.DevicePrograms)
	g := created(t, kerneltest.Cgroups(t), "web", 1)
	var rules []spec.DeviceRule
	for n := range 100 {
		rules = append(rules, rule(n%3 > 0, "c", n%7, n, "rw"))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, stop := unix.Gettid(), make(chan struct{})
	var signals sync.WaitGroup
	signals.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			}
		}
	})
	for n := range 50 { // each another program
		if err := g.SetDevices(append(rules, rule(true, "b", n, n, ""))); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	signals.Wait()
}
