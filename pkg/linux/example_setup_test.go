package linux_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// exampleNeeds are what examples need of a machine beside what all need.
var exampleNeeds = map[string][]*feature.Feature{
	"Example_hello":                 {feature.Memory},
	"ExampleContainer_Events":       {feature.Memory},
	"ExampleContainer_Update":       {feature.Pids},
	"ExampleNode_Run_userNamespace": {feature.UserNamespaces},
	"ExampleNode_Run_seccomp":       {feature.Seccomp},
	"ExampleNode_Run_landlock":      {feature.Landlock},
	exampleBridge:                   {feature.NetworkNamespaces, feature.Bridge, feature.Nftables},
}

// The example that makes a bridge has a network namespace of its own, and so a process.
const (
	exampleBridge  = "ExampleNode_Run_bridge"
	exampleNetwork = "RECONCILER_TEST_EXAMPLE_NETWORK"
)

// examples prepares the examples of this package; see TestMain.
func examples() {
	kerneltest.Examples(exampleNeeds)
	if os.Getenv(exampleNetwork) == "" {
		kerneltest.Without(exampleBridge)
	} else if err := network.LoopbackUp(); err != nil {
		panic(err)
	}
}

// The example with a bridge holds in a network of its own.
func TestExampleBridge(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, exampleNeeds[exampleBridge]...)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.count=1", "-test.run=^"+exampleBridge+"$")
	cmd.Env = append(os.Environ(), exampleNetwork+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// busybox makes a root file system of busybox below a directory, with the users root, daemon, web and nobody.
func busybox(dir string) string {
	root := filepath.Join(dir, "rootfs")
	if err := errors.Join(os.Mkdir(root, 0o755), kerneltest.RootfsAt(root)); err != nil {
		panic(err)
	}
	return root
}

// folders are a config and a root file system of its own, below a directory that remove removes.
func folders() (config linux.Config, rootfs string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	config = linux.Config{
		RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"),
		CgroupParent: filepath.Base(dir),
	}
	return config, busybox(dir), func() { check(os.RemoveAll(dir)) }
}

// machine is what an example starts from: a node and a root file system in folders of its own. Close destroys all that is left.
type machine struct {
	*linux.Node
	Rootfs string
	config linux.Config
	remove func()
}

func openMachine() *machine {
	m := &machine{}
	m.config, m.Rootfs, m.remove = folders()
	var err error
	if m.Node, err = linux.Open(context.Background(), m.config); err != nil {
		panic(err)
	}
	return m
}

// Shell is a container that runs a script.
func (m *machine) Shell(name, script string) spec.Container {
	return spec.Container{
		Metadata: spec.Metadata{Name: name},
		Spec: spec.ContainerSpec{
			Rootfs:  spec.Rootfs{Path: m.Rootfs, ReadOnly: true},
			Command: []string{"/bin/sh", "-c", script},
		},
	}
}

// First is the first so many words that a container says.
func (m *machine) First(c *linux.Container, words int) (said []string, err error) {
	for line, err := range c.Logs(context.Background(), log.Options{Follow: true}) {
		if err != nil {
			return said, err
		}
		if said = append(said, strings.Fields(string(line.Text))...); len(said) >= words {
			break
		}
	}
	return said, nil
}

func (m *machine) Close() {
	ctx := context.Background()
	all, err := m.Containers(ctx)
	for _, c := range all {
		err = errors.Join(err, c.Destroy(ctx))
	}
	if err := errors.Join(err, m.Shutdown(ctx), m.Node.Close()); err != nil {
		panic(err)
	}
	m.remove()
}

// check ends an example that does not hold.
func check(err error) {
	if err != nil {
		panic(err)
	}
}
