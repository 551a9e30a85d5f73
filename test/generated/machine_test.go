package generated

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// machine is what this one can give to a container, so that a configuration asks for nothing that both must refuse.
type machine struct {
	tree         cgroup.Tree
	controllers  []string // of cgroup v2
	capabilities []string // with CAP_
	hard         [16]unix.Rlimit
	oomScoreAdj  int
	disk         [2]int64  // the numbers of a block device that has queue limits, or 0:0
	cpus         []string  // lists of processors
	hugepages    []string  // sizes: 2MB
	weighs       bool      // blkio.weight
	joinable     []joining // namespaces to join
	namespaces   map[string]string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{tree: kerneltest.Tree(t)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(m.tree.Unified, "cgroup.controllers"))
	must(err)
	m.controllers = strings.Fields(string(text))
	node, err := capability.ReadNode(os.Getpid())
	must(err)
	for _, name := range spec.CapabilityNames {
		if known, _ := capability.Known([]string{name}, node); len(known) == 1 {
			m.capabilities = append(m.capabilities, "CAP_"+name)
		}
	}
	for i := range m.hard {
		must(unix.Prlimit(0, i, nil, &m.hard[i]))
	}
	text, err = os.ReadFile("/proc/self/oom_score_adj")
	must(err)
	m.oomScoreAdj, err = strconv.Atoi(strings.TrimSpace(string(text)))
	must(err)
	m.disk, m.weighs = findDisk(), m.has("blkio", "blkio.weight")
	m.cpus = []string{"0"}
	if os.Getenv("GOMAXPROCS") == "" && len(processors(t)) > 1 {
		m.cpus = append(m.cpus, "1", "0-1", "0,1")
	}
	sizes, _ := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-*kB")
	for _, s := range sizes {
		kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(s), "hugepages-"), "kB"))
		must(err)
		m.hugepages = append(m.hugepages, map[bool]string{true: strconv.Itoa(kb>>20) + "GB", false: strconv.Itoa(kb>>10) + "MB"}[kb >= 1<<20])
	}
	m.joinable, m.namespaces = openNamespaces(t), ownNamespaces(t)
	for _, j := range m.joinable {
		m.namespaces[j.link] = "joined"
	}
	return m
}

// has tells whether a v1 controller has a file.
func (m *machine) has(controller, file string) bool {
	point, ok := m.tree.V1[controller]
	_, err := os.Stat(filepath.Join(point, "reconciler-test", file)) // roots lack some
	if ok && err != nil {
		matches, _ := filepath.Glob(filepath.Join(point, "*", file))
		return len(matches) > 0
	}
	return ok
}

// limits tells whether a controller limits containers here, by v1 or v2.
func (m *machine) limits(controller string) bool {
	_, ok := m.tree.V1[controller]
	return ok || slices.Contains(m.controllers, controller)
}

// findDisk finds a whole disk: partitions have no limits of their own.
func findDisk() (numbers [2]int64) {
	files, _ := filepath.Glob("/sys/block/[nsv]*/dev")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		major, minor, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
		if ok {
			numbers[0], _ = strconv.ParseInt(major, 10, 64)
			numbers[1], _ = strconv.ParseInt(minor, 10, 64)
			return numbers
		}
	}
	return numbers
}

func processors(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// joining is a namespace that containers join, held open by this process.
type joining struct {
	kind       string // as a configuration calls it
	path, link string
}

// openNamespaces makes one of each kind that a container can join without its user namespace.
func openNamespaces(t *testing.T) (list []joining) {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "unshare", "-n", "-i", "-u", "/bin/busybox", "cat") // which waits for the end of its input
	end, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skipf("skip: needs busybox-static: %v: apt-get install busybox-static", err)
	}
	t.Cleanup(func() { _, _ = end.Close(), cmd.Wait() })
	kinds := map[string]string{"network": "net", "ipc": "ipc", "uts": "uts"}
	own := ownNamespaces(t)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		j := joining{kind: kind, path: filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "ns", kinds[kind])}
		for own[j.link] != "" || j.link == "" { // until it has left ours
			if j.link, err = os.Readlink(j.path); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, j)
	}
	return list
}

// ownNamespaces are this process's.
func ownNamespaces(t *testing.T) map[string]string {
	t.Helper()
	whose := map[string]string{}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		link, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		whose[link] = "the node's"
	}
	return whose
}
