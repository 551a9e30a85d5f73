package web

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/client"
)

// binary is the program, built for this run.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rweb")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "reconciler")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/reconciler")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// node is an agent in folders of its own, with containers.
type node struct {
	testing.TB
	dir string
	run *exec.Cmd
	log bytes.Buffer
	*client.Client
	args []string
}

// newNode starts an agent on the manifests of testdata, with the page at a loopback address. It is gone, with all it made, when the test ends.
func newNode(t testing.TB) *node {
	t.Helper()
	kerneltest.Root(t)
	parent := kerneltest.Parent(t)
	dir, err := os.MkdirTemp("", "rweb") // short: a socket's address holds 108 bytes
	must(t, err)
	n := &node{TB: t, dir: dir, Client: client.New(filepath.Join(dir, "run/reconciler.sock"))}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, kerneltest.RootfsAt(n.path("rootfs")))
	must(t, os.Mkdir(n.path("manifests"), 0o755))
	files, err := filepath.Glob("testdata/*.yaml")
	must(t, err)
	for _, f := range files {
		n.put(f)
	}
	n.args = []string{"run", "--manifests", n.path("manifests"), "--run-dir", n.path("run"), "--state-dir", n.path("state"), "--log-dir", n.path("log"), "--cgroup-parent", parent, "--log-format", "text"}
	n.start("127.0.0.1:0")
	t.Cleanup(n.dispose)
	return n
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// put drops a manifest, with the node's rootfs in it.
func (n *node) put(file string) {
	n.Helper()
	text, err := os.ReadFile(file)
	must(n, err)
	next := n.path(filepath.Base(file))
	must(n, os.WriteFile(next, bytes.ReplaceAll(text, []byte("ROOTFS"), []byte(n.path("rootfs"))), 0o644))
	must(n, os.Rename(next, filepath.Join(n.path("manifests"), filepath.Base(file))))
}

// start starts the agent, with the page at an address, and waits until it answers.
func (n *node) start(listen string) {
	n.Helper()
	n.run = exec.Command(binary, append(n.args, "--web-listen", listen)...)
	n.run.Stdout, n.run.Stderr = &n.log, &n.log
	must(n, n.run.Start())
	for late := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := n.Version(context.Background()); err == nil {
			return
		}
		if time.Now().After(late) {
			n.Fatalf("the agent does not answer\n%s", n.log.String())
		}
	}
}

func (n *node) stop() {
	_ = n.run.Process.Signal(syscall.SIGTERM)
	_ = n.run.Wait()
}

// dispose removes the containers, and with them the keeper.
func (n *node) dispose() {
	n.stop()
	must(n, os.RemoveAll(n.path("manifests")))
	must(n, os.Mkdir(n.path("manifests"), 0o755))
	if out, err := exec.Command(binary, append(n.args, "--once", "--prune", "always")...).CombinedOutput(); err != nil {
		n.Errorf("containers are left: %v\n%s", err, out)
	}
}

// address is what the verb web prints, and the origin in it.
func (n *node) address() (address, origin string) {
	n.Helper()
	out, err := exec.Command(binary, "web", "--socket", n.path("run/reconciler.sock")).CombinedOutput()
	if err != nil {
		n.Fatalf("web: %v\n%s\n%s", err, out, n.log.String())
	}
	address = strings.TrimSpace(string(out))
	u, err := url.Parse(address)
	must(n, err)
	return address, "http://" + u.Host
}
