package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

// patience bounds how long a test waits for anything.
const patience = 30 * time.Second

// node is an agent in folders of its own, with its keeper and containers.
type node struct {
	dir    string // manifests/, run/, state/ and log/ are below it
	parent string
	rootfs string
	agent  *exec.Cmd
	log    bytes.Buffer
}

// newNode makes a node without an agent. Its end is dispose.
func newNode(t testing.TB) *node {
	t.Helper()
	kerneltest.Root(t)
	dir, err := os.MkdirTemp("", "rcli") // short: a socket's address holds 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	n := &node{dir: dir, parent: kerneltest.Parent(t)}
	n.rootfs = n.path("rootfs")
	if out, err := exec.Command("../../scripts/rootfs.sh", n.rootfs).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a root file system: %v\n%s", err, out)
	}
	if err := os.Mkdir(n.path("manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }
func (n *node) socket() string          { return n.path("run/reconciler.sock") }

func (n *node) runArgs(more ...string) []string {
	return append([]string{
		"run", "--manifests", n.path("manifests"), "--run-dir", n.path("run"), "--state-dir", n.path("state"),
		"--log-dir", n.path("log"), "--cgroup-parent", n.parent, "--log-format", "text",
	}, more...)
}

// once runs the agent until it has converged.
func (n *node) once(more ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, n.runArgs(append(more, "--once")...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run --once %v: %w\n%s", more, err, out)
	}
	return nil
}

// start starts the agent and waits until it answers.
func (n *node) start(more ...string) error {
	n.agent = exec.Command(binary, n.runArgs(more...)...)
	n.agent.Stdout, n.agent.Stderr = &n.log, &n.log
	if err := n.agent.Start(); err != nil {
		return err
	}
	return n.eventually("the agent answers", func() error {
		_, err := client.New(n.socket()).Version(context.Background())
		return err
	})
}

// stop ends the agent politely; the containers stay.
func (n *node) stop() error {
	if n.agent == nil {
		return nil
	}
	agent := n.agent
	n.agent = nil
	_ = agent.Process.Signal(syscall.SIGTERM)
	if err := agent.Wait(); err != nil {
		return fmt.Errorf("the agent ended with %w\n%s", err, n.log.String())
	}
	return nil
}

// put drops a manifest by rename, with the node's rootfs in it.
func (n *node) put(name, text string) error {
	text = strings.ReplaceAll(text, demoRootfs, n.rootfs)
	if err := os.WriteFile(n.path(name), []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(n.path(name), filepath.Join(n.path("manifests"), name))
}

// demoRootfs is the root file system that examples name.
const demoRootfs = "/var/lib/reconciler-demo/rootfs"

// dispose removes containers, with them the keeper, and folders, and says what could not be removed.
func (n *node) dispose() (problems []error) {
	add := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	add(n.stop())
	files, _ := filepath.Glob(n.path("manifests/*"))
	for _, f := range files {
		add(os.Remove(f))
	}
	add(n.once("--prune", "always"))
	if c, err := keeper.Dial(context.Background(), n.path("run")); err == nil {
		c.Close()
		add(errors.New("a keeper is left"))
	}
	add(os.RemoveAll(n.dir))
	return problems
}

// eventually calls f until it succeeds, for as long as patience lasts.
func (n *node) eventually(what string, f func() error) error {
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("not yet so: %s: %w\n%s", what, err, n.log.String())
}
