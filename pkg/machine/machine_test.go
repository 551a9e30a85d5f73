package machine_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestMain lets the test binary be its own keeper.
func TestMain(m *testing.M) {
	keeper.Hook()
	kerneltest.Main(m)
}

// patience is how long a test waits for what must come.
var patience = kerneltest.Patient(30 * time.Second)

// node is a node in folders of its own.
type node struct {
	*machine.Node
	t      testing.TB // of the moment
	whole  testing.TB
	dir    string
	config machine.Config
}

// open opens a node. At the end of the test everything it has is destroyed.
func open(t testing.TB) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "rnode")
	must(t, err)
	n := &node{t: t, whole: t, dir: dir}
	n.config.Config = linux.Config{RunDir: n.path("run"), StateDir: n.path("state"), LogDir: n.path("log"), CgroupParent: kerneltest.Parent(t)}
	if t, ok := t.(*testing.T); ok {
		n.config.Log = testr.New(t)
	}
	must(t, os.Mkdir(n.path("rootfs"), 0o755))
	must(t, kerneltest.WriteRootfs(t, n.path("rootfs")))
	n.reopen()
	t.Cleanup(n.dispose)
	return n
}

func (n *node) reopen() {
	n.t.Helper()
	if n.Node != nil {
		must(n.t, n.Close())
	}
	var err error
	n.Node, err = n.openNode()
	must(n.t, err)
}

func (n *node) openNode() (*machine.Node, error) { return machine.Open(n.t.Context(), n.config) }

func (n *node) dispose() {
	ctx := context.Background()
	all, err := n.Observe(ctx)
	if err != nil {
		n.t.Error(err)
	}
	for _, in := range all {
		if err := n.Destroy(ctx, in.Name, in.ID, false); err != nil {
			n.t.Error(err)
		}
	}
	if err := n.Shutdown(ctx); err != nil {
		n.t.Error(err)
	}
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
	if err := os.RemoveAll(n.dir); err != nil {
		n.t.Error(err)
	}
}

func (n *node) path(elem ...string) string {
	return filepath.Join(append([]string{n.dir}, elem...)...)
}

// container is one that runs a shell script on the node's busybox.
func (n *node) container(name, script string) spec.Container {
	return spec.Container{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name},
		Spec: spec.ContainerSpec{Rootfs: spec.Rootfs{Path: n.path("rootfs")}, Command: []string{"/bin/sh", "-c", script}},
	}
}

// run creates and starts an instance.
func (n *node) run(c spec.Container) {
	n.t.Helper()
	must(n.t, n.Create(n.t.Context(), c, 1, spec.DefaultsVersion))
	must(n.t, n.Start(n.t.Context(), c.Metadata.Name, 1))
}

// look observes instance 1.
func (n *node) look(name string) spec.Instance {
	n.t.Helper()
	all, err := n.ObserveOne(n.t.Context(), name)
	must(n.t, err)
	if len(all) == 0 {
		return spec.Instance{}
	}
	return all[0]
}

// until waits for a condition.
func (n *node) until(what string, is func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("never came: %s", what)
		}
	}
}

// output is what a container has said.
func (n *node) output(name string) string {
	n.t.Helper()
	files, err := filepath.Glob(filepath.Join(n.LogDir(name), "*.log"))
	must(n.t, err)
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(n.t, err)
		all.Write(data)
	}
	return all.String()
}

// hear waits until a container has said something.
func (n *node) hear(name, text string) {
	n.t.Helper()
	n.until(text, func() bool { return strings.Contains(n.output(name), text) })
}

// count is the last number that a container has said.
func (n *node) count(name string) int {
	lines := strings.Fields(n.output(name))
	if len(lines) == 0 {
		return 0
	}
	last, _ := strconv.Atoi(lines[len(lines)-1])
	return last
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// counter counts, and keeps its count in a file as well.
const counter = `i=0; while true; do i=$((i+1)); echo $i; echo $i >/count; echo $i >/dev/shm/count; sleep 0.02; done`

// sh runs a script in a container and tells what it said and how it ended.
func (n *node) sh(name, script string) (string, spec.Exit, error) {
	n.t.Helper()
	session, err := n.Exec(n.t.Context(), name, 1, spec.Exec{Command: []string{"/bin/sh", "-c", script}})
	if err != nil {
		return "", spec.Exit{}, err
	}
	var out strings.Builder
	exit, err := linux.Streams{Out: &out, Err: &out}.Copy(n.t.Context(), session)
	return out.String(), exit, err
}
