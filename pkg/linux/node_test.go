package linux_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestMain lets the test binary be its own keeper, and the attacker in a container.
func TestMain(m *testing.M) {
	keeper.Hook()
	if config := os.Getenv(agentEnv); config != "" {
		if err := agent(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "remake" { // in the place of a restorer
		os.Exit(remake(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "attack" { // inside a container
		os.Exit(attack(os.Args[2:]))
	}
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") { // a container's command, that is a link to /proc/self/exe: no tests in there
		fmt.Fprintln(os.Stderr, "unknown command", os.Args[1])
		os.Exit(1)
	}
	examples()
	kerneltest.Main(m)
}

// patience is how long a test waits for what must come.
var patience = kerneltest.Patient(30 * time.Second)

// forever are scripts that run until they are ended: one that heeds TERM, and one that does not.
const (
	forever  = `trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done`
	stubborn = `trap : TERM; echo up; while :; do sleep 0.05; done`
)

// node is a node in folders of its own.
type node struct {
	*linux.Node
	dir    string // run/, state/, log/ and rootfs/ are below it
	config linux.Config
}

// open opens a node. At the end of the test everything it has is destroyed.
func open(t testing.TB) *node {
	t.Helper()
	return openBelow(t, kerneltest.Parent(t))
}

// openBelow opens one with a cgroup parent as a user says it.
func openBelow(t testing.TB, parent string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "rnode") // short: a socket address holds 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	n := &node{dir: dir}
	n.config = linux.Config{RunDir: n.path("run"), StateDir: n.path("state"), LogDir: n.path("log"), CgroupParent: parent}
	if t, ok := t.(*testing.T); ok {
		n.config.Log = testr.New(t)
	}
	must(t, os.Mkdir(n.path("rootfs"), 0o755))
	must(t, kerneltest.WriteRootfs(t, n.path("rootfs")))
	n.reopen(t)
	t.Cleanup(func() { n.dispose(t) })
	return n
}

// reopen opens the node, after closing it if it is open: the agent ends and starts again.
func (n *node) reopen(t testing.TB) {
	t.Helper()
	if n.Node != nil {
		must(t, n.Close())
	}
	var err error
	if n.Node, err = linux.Open(t.Context(), n.config); err != nil {
		t.Fatal(err)
	}
}

func (n *node) dispose(t testing.TB) {
	ctx := context.Background()
	all, err := n.Observe(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, in := range all {
		if err := n.Destroy(ctx, in.Name, in.ID, false); err != nil {
			t.Error(err)
		}
	}
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(n.dir); err != nil {
		t.Error(err)
	}
}

func (n *node) path(elem ...string) string {
	return filepath.Join(append([]string{n.dir}, elem...)...)
}

// groups is the cgroup above the containers, as kerneltest.Scope wants it; see linux.Node on systemd.
func (n *node) groups() string {
	if plain, ok := strings.CutPrefix(n.config.CgroupParent, "/"); ok {
		return plain
	}
	if feature.Systemd.Probe() == nil {
		return "system.slice/" + n.config.CgroupParent + ".scope/containers"
	}
	return n.config.CgroupParent
}

// group is an instance's directory in the unified hierarchy.
func (n *node) group(t testing.TB, name string, id uint64) string {
	return filepath.Join(kerneltest.Tree(t).Unified, n.groups(), name, strconv.FormatUint(id, 10))
}

// file is one of an instance's files in the run directory.
func (n *node) file(name string, id uint64, file string) string {
	return n.path("run", "state", name, strconv.FormatUint(id, 10), file)
}

// keeper is the pid of the node's keeper, which its lock holds.
func (n *node) keeper(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(n.path("run", "state", "keeper.lock"))
	must(t, err)
	return atoi(t, string(text))
}

func atoi(t testing.TB, text string) int {
	t.Helper()
	number, err := strconv.Atoi(strings.TrimSpace(text))
	must(t, err)
	return number
}

// container is one that runs a shell script on the node's busybox rootfs, read-only.
func (n *node) container(name, script string) spec.Container {
	return spec.Container{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name},
		Spec: spec.ContainerSpec{
			Rootfs:  spec.Rootfs{Path: n.path("rootfs"), ReadOnly: true},
			Command: []string{"/bin/sh", "-c", script},
		},
	}
}

// writable is the same with a layer of its own.
func (n *node) writable(name, script string, w spec.Writable) spec.Container {
	c := n.container(name, script)
	c.Spec.Rootfs.ReadOnly, c.Spec.Rootfs.Writable = false, w
	return c
}

// run creates and starts an instance.
func (n *node) run(t testing.TB, c spec.Container, id uint64) {
	t.Helper()
	must(t, n.Create(t.Context(), c, id, spec.DefaultsVersion))
	must(t, n.Start(t.Context(), c.Metadata.Name, id))
}

// say runs a container to its end, destroys it and returns what it said.
func (n *node) say(t testing.TB, c spec.Container) string {
	t.Helper()
	name := c.Metadata.Name
	n.run(t, c, 1)
	n.await(t, name, 1, exited)
	said := n.output(t, name)
	must(t, n.Destroy(t.Context(), name, 1, false))
	return said
}

// await observes until an instance is as wanted.
func (n *node) await(t testing.TB, name string, id uint64, until func(spec.Instance) bool) spec.Instance {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		in := n.look(t, name, id)
		if until(in) {
			return in
		}
		if time.Now().After(deadline) {
			t.Fatalf("never came: %+v\noutput: %s", in, n.output(t, name))
		}
	}
}

// look observes one instance; zero if there is none.
func (n *node) look(t testing.TB, name string, id uint64) spec.Instance {
	t.Helper()
	all, err := n.ObserveOne(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range all {
		if in.ID == id {
			return in
		}
	}
	return spec.Instance{}
}

// hear waits until the output of a name contains a text.
func (n *node) hear(t testing.TB, name, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(n.output(t, name), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never said %q: %s", text, n.output(t, name))
		}
	}
}

// output is what all processes of a name have said.
func (n *node) output(t testing.TB, name string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.LogDir(name), "*.log"))
	must(t, err)
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		all.Write(data)
	}
	return all.String()
}

// in makes a condition of a phase.
func in(phase spec.InstancePhase) func(spec.Instance) bool {
	return func(i spec.Instance) bool { return i.Phase == phase }
}

var exited = in(spec.InstanceExited)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// byHand writes a cgroup file of an instance, in the hierarchy its controller is in.
func (n *node) byHand(t testing.TB, name string, id uint64, controller, file, text string) {
	t.Helper()
	tree := kerneltest.Tree(t)
	root := tree.Unified
	if v1 := tree.V1[controller]; v1 != "" {
		root = v1
	}
	path := filepath.Join(root, n.groups(), name, strconv.FormatUint(id, 10), file)
	must(t, os.WriteFile(path, []byte(text), 0))
}
