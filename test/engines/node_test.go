package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// patience bounds what a test waits for.
var patience = kerneltest.Patient(60 * time.Second)

// node is this machine with a network, a /run, a /var and an /etc of its own, so that an engine is used as its users use it and finds nothing
// of this machine's. It is a thread: what that starts is there as well.
type node struct {
	*testing.T
	cgroup string // parent of all its containers' cgroups
	files  map[string]string
	work   chan func()
	done   chan struct{}
	space  string          // its mount namespace
	first  map[string]bool // mounts that it has from the beginning; this machine may take some of them away
}

// newNode makes a node with files below /etc.
func newNode(t *testing.T, cgroup string, files map[string]string) *node {
	t.Helper()
	n := &node{T: t, cgroup: cgroup, files: files, work: make(chan func()), done: make(chan struct{})}
	failed := make(chan error)
	go func() {
		defer close(n.done)
		runtime.LockOSThread() // for ever: the thread ends with this function, and its namespaces with the last process in them
		err := n.enter()
		failed <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(n.work)
		<-n.done
		if err := n.removeNamed(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// removeNamed removes the node's cgroups from the hierarchy that has a name and no controller: other runtimes and engines put processes there, this
// one does not.
func (n *node) removeNamed() error {
	var dirs []string
	_ = filepath.WalkDir("/sys/fs/cgroup/systemd/"+n.cgroup, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		var err error
		for late := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // the last ones are still dying
			if err = unix.Rmdir(dir); err == nil || time.Now().After(late) {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("cannot remove %s: %w", dir, err)
		}
	}
	return nil
}

// do has a function carried out on the node.
func (n *node) do(f func()) {
	done := make(chan struct{})
	n.work <- func() { defer close(done); f() }
	<-done
}

// enter gives the calling thread what a node has of its own.
func (n *node) enter() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot unshare: %w", err)
	}
	var err error
	if n.space, err = os.Readlink("/proc/thread-self/ns/mnt"); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	for _, dir := range []string{"/run", "/dev/shm"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("cannot cover %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"/etc", "/var"} {
		if err := coverWithLayer(dir); err != nil {
			return err
		}
	}
	if out, err := exec.Command("busybox", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot set lo up: %w: %s", err, out)
	}
	n.first = map[string]bool{}
	for id := range n.mounts() {
		n.first[id] = true
	}
	for name, text := range n.files {
		path := filepath.Join("/etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// coverWithLayer has what is written below a directory go to memory.
func coverWithLayer(dir string) error {
	layer := "/run/layer" + dir
	if err := os.MkdirAll(layer, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", layer, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	upper, work := layer+"/upper", layer+"/work"
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
		return fmt.Errorf("cannot cover %s: %w", dir, err)
	}
	return nil
}

// mounts are the ids and mount points of its mounts.
func (n *node) mounts() map[string]string {
	points := map[string]string{}
	text, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 5 {
			points[f[0]] = f[4]
		}
	}
	return points
}

// rest is what a node has of containers: mounts, links, runtimes' states, cgroups, processes.
func (n *node) rest() (lines []string) {
	for id, point := range n.mounts() {
		if !n.first[id] && point != "/run/netns" { // which podman makes once
			lines = append(lines, "mount on "+point)
		}
	}
	links, _ := exec.Command("busybox", "ip", "-o", "link").Output()
	for line := range strings.Lines(string(links)) {
		if f := strings.Fields(line); len(f) > 1 {
			lines = append(lines, "link "+f[1])
		}
	}
	for _, pattern := range []string{"/run/netns/*", "/run/runc/*", "/run/crun/*", "/run/reconciler-oci/*", "/run/containerd/runc/*/*", "/run/containerd/s/*", "/run/containerd/io.containerd.runtime.v2.task/*/*"} {
		found, _ := filepath.Glob(pattern)
		lines = append(lines, found...)
	}
	for _, line := range kerneltest.Take(n.T, kerneltest.Scope{Parent: n.cgroup}) {
		if strings.Contains(line, n.cgroup+"/") && !strings.HasSuffix(line, n.cgroup+"/conmon") { // which stays, for the next container
			lines = append(lines, line)
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		if space, err := os.Readlink(p + "/ns/mnt"); err == nil && space == n.space {
			argv, _ := os.ReadFile(p + "/cmdline")
			lines = append(lines, fmt.Sprintf("process %s: %s", filepath.Base(p), strings.ReplaceAll(string(argv), "\x00", " ")))
		}
	}
	slices.Sort(lines)
	return lines
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

// command runs a command on the node, with something on its standard input. Its output are files: who stays behind may hold a pipe open.
func (n *node) command(in string, argv ...string) (r result, err error) {
	var files [2]*os.File
	for i := range files {
		if files[i], err = os.CreateTemp("", "engine"); err != nil {
			return r, err
		}
		defer os.Remove(files[i].Name())
		defer files[i].Close()
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/run" // conmon leaves a file where it is when memory has run out
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), files[0], files[1]
	if err := cmd.Start(); err != nil {
		return r, err
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	if !late.Stop() {
		return r, fmt.Errorf("%q does not end", argv)
	}
	out, _ := os.ReadFile(files[0].Name())
	text, _ := os.ReadFile(files[1].Name())
	return result{strings.TrimSpace(string(out)), strings.TrimSpace(string(text)), cmd.ProcessState.ExitCode()}, nil
}
