// Package e2e drops manifests before the real binary on the real kernel, as a user would, and kills it in every way. It
// knows the command line, the API's words and the kernel; it refuses to know any package of the implementation but the words.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// slow scales every deadline: a guest without hardware virtualisation is about ten times slower.
var slow = kerneltest.Patient(1)

// binary is bin/reconciler as the tests run it: RECONCILER_BINARY, or built once.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("RECONCILER_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "reconciler-e2e-bin")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "reconciler")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/reconciler").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build the binary: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	criu.Hook()
	if observing() {
		return
	}
	code := m.Run()
	if os.Getenv("RECONCILER_BINARY") == "" {
		if path, err := binary(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// node is an agent in folders of its own, with the keeper and the containers it leads to.
type node struct {
	t      testing.TB
	bin    string
	dir    string // run/, state/, log/, manifests/ and rootfs/ are below it
	parent string // cgroup parent
	agent  *exec.Cmd
	api    *http.Client
	extra  []string // further flags of run
	prefix []string // a command to run the agent under, strace say
	undone int      // how many restores at most were undone, see counted
	env    []string
}

var nodes atomic.Int32

// newNode makes a node whose agent is not running yet, and checks at the end of the test that nothing is left.
func newNode(t testing.TB) *node {
	t.Helper()
	kerneltest.Root(t)
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	// Short: a socket address holds 108 bytes.
	dir, err := os.MkdirTemp("", "re2e")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, bin: bin, dir: dir, parent: fmt.Sprintf("reconciler-e2e-%d-%d", os.Getpid(), nodes.Add(1))}
	if err := os.Mkdir(n.path("manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kerneltest.Rootfs(t), n.path("rootfs")); err != nil {
		t.Fatal(err)
	}
	n.api = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.path("run/reconciler.sock"))
		},
		DisableKeepAlives: true,
	}}
	t.Cleanup(n.dispose)
	return n
}

func (n *node) path(elem string) string { return filepath.Join(n.dir, elem) }

// rootfs is the busybox root file system all containers of the node share.
func (n *node) rootfs() string {
	path, err := filepath.EvalSymlinks(n.path("rootfs"))
	if err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *node) runArgs(more ...string) []string {
	args := append([]string{
		n.bin, "run", "--manifests", n.path("manifests"), "--run-dir", n.path("run"),
		"--state-dir", n.path("state"), "--log-dir", n.path("log"), "--cgroup-parent", n.parent,
	}, n.extra...)
	return append(append(append([]string{}, n.prefix...), args...), more...)
}

// start runs the agent and waits until its API answers.
func (n *node) start() {
	n.t.Helper()
	args := n.runArgs()
	n.agent = exec.Command(args[0], args[1:]...)
	n.agent.Env = append(os.Environ(), n.env...)
	log, err := os.OpenFile(n.path("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.agent.Stdout, n.agent.Stderr = log, log
	if err := n.agent.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.eventually("the API answers", func() error {
		_, err := n.request("GET", "/v1/version")
		return err
	})
}

// signal sends a signal to the agent and waits for its end.
func (n *node) signal(sig syscall.Signal) {
	n.t.Helper()
	if n.agent == nil {
		return
	}
	_ = n.agent.Process.Signal(sig)
	_ = n.agent.Wait()
	n.agent = nil
}

// once runs `run --once` and returns its output and error.
func (n *node) once(more ...string) (string, error) {
	args := n.runArgs(append([]string{"--once"}, more...)...)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second*slow)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), n.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cli runs a client verb against the node.
func (n *node) cli(args ...string) (string, error) {
	cmd := exec.Command(n.bin, args...)
	cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+n.path("run/reconciler.sock"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// put drops a manifest by rename, as a careful writer does.
func (n *node) put(file, text string) {
	n.t.Helper()
	tmp := n.path("." + file)
	text = strings.ReplaceAll(text, "ROOTFS", n.rootfs())
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(n.path("manifests"), file)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) remove(file string) {
	n.t.Helper()
	if err := os.Remove(filepath.Join(n.path("manifests"), file)); err != nil {
		n.t.Fatal(err)
	}
}

// manifest is a container that runs a shell script; more is further YAML of the spec, indented by two.
func manifest(name, script string, more ...string) string {
	text, _ := json.Marshal(script)
	return fmt.Sprintf("apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: %s}\nspec:\n  rootfs: {path: ROOTFS, readOnly: true}\n  command: [/bin/sh, -c, %s]\n%s",
		name, text, strings.Join(more, ""))
}

func (n *node) request(method, path string) ([]byte, error) {
	req, err := http.NewRequest(method, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := n.api.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var body json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, body)
	}
	return body, nil
}

func (n *node) get(name string) (spec.Object, error) {
	body, err := n.request("GET", "/v1/containers/"+name)
	if err != nil {
		return spec.Object{}, err
	}
	var object spec.Object
	return object, json.Unmarshal(body, &object)
}

// phase waits until the container is in the phase with nothing pending and returns it.
func (n *node) phase(name string, want spec.Phase) spec.Object {
	n.t.Helper()
	var object spec.Object
	n.eventually(fmt.Sprintf("%s is %s", name, want), func() (err error) {
		object, err = n.get(name)
		if err == nil && (object.Status.Phase != want || len(object.Status.Pending) > 0) {
			err = fmt.Errorf("phase %s, pending %v, %s, conditions %+v", object.Status.Phase, object.Status.Pending, object.Status.Message, object.Status.Conditions)
		}
		return err
	})
	return object
}

// eventually waits for the check to pass.
func (n *node) eventually(what string, check func() error) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second * slow)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(n.path("agent.log"))
			keeper, _ := os.ReadFile(n.path("run/state/keeper.log"))
			n.t.Fatalf("never: %s: %v\nagent:\n%s\nkeeper:\n%s", what, err, tail(log), tail(keeper))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func tail(log []byte) []byte { return log[max(0, len(log)-6000):] }

// logs is what the container has written, without timestamps.
func (n *node) logs(name string) string {
	out, err := n.cli("logs", name)
	if err != nil {
		n.t.Fatalf("cannot read the logs of %s: %v\n%s", name, err, out)
	}
	return out
}

// keepers are the pids of the node's keepers, found by the run directory on their command line.
func (n *node) keepers() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		args := strings.Split(string(line), "\x00")
		if len(args) > 1 && strings.Contains(string(line), "\x00keeper\x00") && strings.Contains(string(line), n.path("run")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// keep starts a keeper if none runs, apart from any agent, so that whoever traces an agent does not trace its keeper.
func (n *node) keep() {
	n.t.Helper()
	if len(n.keepers()) > 0 {
		return
	}
	cmd := exec.Command(n.bin, "keeper", "--run-dir", n.path("run"))
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	n.eventually("the keeper listens", func() error {
		conn, err := net.Dial("unix", n.path("run/state/keeper.sock"))
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// killKeeper ends the node's keeper with SIGKILL and says which it was.
func (n *node) killKeeper() (pid int) {
	n.t.Helper()
	pids := n.keepers()
	if len(pids) != 1 {
		n.t.Fatalf("got keepers %v, want one", pids)
	}
	if err := unix.Kill(pids[0], unix.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	return pids[0]
}

// dispose removes every container through the agent itself, ends the keeper, and checks that nothing is left.
func (n *node) dispose() {
	n.signal(syscall.SIGKILL)
	files, _ := filepath.Glob(n.path("manifests/*"))
	for _, file := range files {
		_ = os.Remove(file)
	}
	if out, err := n.once("--prune", "always"); err != nil {
		n.t.Errorf("cannot remove everything: %v\n%s", err, out)
	}
	for _, pid := range n.keepers() {
		_ = unix.Kill(pid, unix.SIGTERM)
	}
	if left := n.leftovers(); left != "" {
		n.t.Errorf("left behind:\n%s", left)
	}
	n.killAll()
	os.RemoveAll(n.dir)
}

// leftovers lists cgroups below the parent and mounts and container files below the node's folders.
func (n *node) leftovers() string {
	var left []string
	for _, dir := range n.cgroups() {
		children, _ := os.ReadDir(dir)
		for _, child := range children {
			if child.IsDir() && child.Name() != "keeper" {
				left = append(left, filepath.Join(dir, child.Name()))
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, n.dir) {
			left = append(left, strings.TrimSpace(line))
		}
	}
	for _, dir := range []string{"run/state", "state/inventory", "state/layers", "log"} {
		entries, err := os.ReadDir(n.path(dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			left = append(left, err.Error())
		}
		for _, entry := range entries {
			audit := dir == "log" && strings.HasPrefix(entry.Name(), "audit.") // outlives what it tells of
			if entry.IsDir() || dir != "run/state" && !audit {
				left = append(left, filepath.Join(dir, entry.Name()))
			}
		}
	}
	return strings.Join(left, "\n")
}

// cgroups are the parent's directories in every hierarchy.
func (n *node) cgroups() (dirs []string) {
	for _, pattern := range []string{"/sys/fs/cgroup/" + n.parent, "/sys/fs/cgroup/*/" + n.parent, "/sys/fs/cgroup/*/" + n.parent + ".scope/containers"} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	return dirs
}

// killAll removes the parent's cgroups whatever happened, so that a failed test leaves the machine as it was.
func (n *node) killAll() {
	for _, dir := range n.cgroups() {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	}
	time.Sleep(20 * time.Millisecond)
	for _, dir := range n.cgroups() {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = os.Remove(dirs[i])
		}
	}
}
