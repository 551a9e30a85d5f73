package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// standstill is how long nobody may stop a container who was not asked to.
var standstill = 5 * time.Second * slow

// glance is how often an observer looks.
const glance = 3 * time.Millisecond

// observerEnv makes the test binary an observer of the node below a cgroup directory; whose containers may be frozen follow, after colons.
const observerEnv = "RECONCILER_TEST_OBSERVE"

// observed is what an observer knows of a container that counts in /count.
type observed struct {
	count   string
	since   time.Time // when it last went on, or was not there
	longest time.Duration
	isTold  bool
}

// observe looks at every container from outside, and at nothing that agent and keeper say of it, until its input ends. It prints a line for each one that stands still for too
// long, or runs twice, and at the end one for how long each has stood still at most.
func observe(parent string, mayFreeze []string, stop io.Reader) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, stop)
	}()
	all := map[string]*observed{}
	for looks := 0; ; looks++ {
		select {
		case <-ended:
			for name, o := range all {
				fmt.Printf("# %s: stood still for %v at most, in %d looks\n", name, o.longest.Round(time.Millisecond), looks)
			}
			return
		case <-time.After(glance):
		}
		names, _ := os.ReadDir(parent)
		for _, entry := range names {
			if name := entry.Name(); entry.IsDir() && name != "keeper" {
				if all[name] == nil {
					all[name] = &observed{since: time.Now()}
				}
				all[name].look(name, filepath.Join(parent, name), slices.Contains(mayFreeze, name))
			}
		}
	}
}

func (o *observed) look(name, dir string, mayFreeze bool) {
	var inits []int
	var tasks []string
	frozen := ""
	instances, _ := filepath.Glob(filepath.Join(dir, "[0-9]*"))
	for _, instance := range instances {
		events, _ := os.ReadFile(filepath.Join(instance, "cgroup.events"))
		frozen += strings.ReplaceAll(strings.TrimSpace(string(events)), "\n", ", ")
		_ = filepath.WalkDir(instance, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil
			}
			text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, word := range strings.Fields(string(text)) {
				pid, _ := strconv.Atoi(word)
				state, isInit := taskOf(pid)
				tasks = append(tasks, fmt.Sprintf("%d %s", pid, state))
				if isInit && state != "" && !strings.ContainsAny(state[:1], "ZX") {
					inits = append(inits, pid)
				}
			}
			return nil
		})
	}
	if len(inits) > 1 {
		fmt.Printf("%s runs %d times: %v\n", name, len(inits), inits)
	}
	var count string
	if len(inits) > 0 {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/root/count", inits[0]))
		count = strings.TrimSpace(string(text))
	}
	if len(inits) == 0 || count != "" && count != o.count {
		o.since, o.isTold = time.Now(), false
		if count != "" {
			o.count = count
		}
		return
	}
	if mayFreeze {
		return
	}
	still := time.Since(o.since)
	o.longest = max(o.longest, still)
	if still > standstill && !o.isTold {
		o.isTold = true
		fmt.Printf("%s stands still for %v at %q: %s; tasks %q\n", name, still.Round(time.Millisecond), count, frozen, tasks)
	}
}

// taskOf is the state of a process as the kernel writes it, and whether it is the first of a process namespace.
func taskOf(pid int) (state string, isInit bool) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "State":
			state = strings.TrimSpace(value)
		case "NSpid":
			numbers := strings.Fields(value)
			isInit = len(numbers) > 1 && numbers[len(numbers)-1] == "1"
		}
	}
	return state, isInit
}

// observer is the command of an observer.
func (n *node) observer(mayFreeze ...string) *exec.Cmd {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), observerEnv+"="+strings.Join(append([]string{n.unified()}, mayFreeze...), ":"))
	return cmd
}

// unified is the cgroup2 directory above the node's containers.
func (n *node) unified() string {
	n.t.Helper()
	for _, dir := range n.cgroups() {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err == nil {
			return dir
		}
	}
	n.t.Fatal("no container has run")
	return ""
}

// watched starts an observer, a process of its own beside agent and keeper. What it has seen fails the test at its end.
func (n *node) watched(mayFreeze ...string) {
	n.t.Helper()
	cmd := n.observer(mayFreeze...)
	stop, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = stop.Close()
		if err := cmd.Wait(); err != nil {
			n.t.Error(err)
		}
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "#") {
				n.t.Log(line)
			} else {
				n.t.Error("the observer saw: " + line)
			}
		}
	})
}

// observing carries out the observer's part in its process.
func observing() bool {
	words := strings.Split(os.Getenv(observerEnv), ":")
	if words[0] == "" {
		return false
	}
	observe(words[0], words[1:], os.Stdin)
	return true
}

// An observer sees a container that somebody has stopped; otherwise it would prove nothing.
func TestObserverSees(t *testing.T) {
	if testing.Short() {
		t.Skip("skip: needs more than five seconds")
	}
	n := newNode(t)
	n.put("web.yaml", counterManifest("web"))
	n.start()
	pid := n.phase("web", "Running").Status.Container.Pid
	n.counts("web", 3)
	cmd := n.observer()
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Kill(pid, unix.SIGSTOP)
	defer func() { _ = unix.Kill(pid, unix.SIGCONT) }()
	time.AfterFunc(standstill+time.Second, func() { _ = stop.Close() })
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "web stands still for") || !strings.Contains(string(said), "T (stopped)") {
		t.Errorf("a stopped container: the observer said %q, %v", said, err)
	}
}
