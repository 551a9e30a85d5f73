package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestLive runs testdata/live: scripts against a real agent with real containers. Beside what testscript has, they know
//
//	agent start|stop|kill|reload [FLAG...]   the agent, whose containers stay
//	put FILE [AS]                     drop FILE into the manifests, by rename
//	drop NAME                         remove NAME from the manifests
//	soon TEXT reconciler ARGUMENT...    runs reconciler until its output holds TEXT
//	exits CODE COMMAND...
//
// and the conditions that name a feature of the node: [checkpoint], once an agent runs.
//
// $RUN and $MANIFESTS are the node's; its root file system takes the place of the demo's in all manifests.
func TestLive(t *testing.T) {
	n := newNode(t)
	t.Cleanup(func() {
		for _, err := range n.dispose() {
			t.Error(err)
		}
	})
	scripts, err := filepath.Glob("testdata/live/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		n.clear(t)
		testscript.RunT(sequential{t}, n.params(script))
	}
}

// sequential lets scripts that share a node run one after the other.
type sequential struct{ *testing.T }

func (sequential) Parallel() {}

func (s sequential) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(sequential{t}) })
}

func (s sequential) Verbose() bool { return testing.Verbose() }

func (n *node) params(script string) testscript.Params {
	return testscript.Params{
		Files:         []string{script},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
			env.Setenv("RECONCILER_SOCKET", n.socket())
			env.Setenv("RUN", n.path("run"))
			env.Setenv("MANIFESTS", n.path("manifests"))
			return n.useRootfs(env.WorkDir)
		},
		Condition: func(name string) (bool, error) {
			lack := n.lack(name)
			if lack != "" {
				n.log.WriteString(lack + "\n")
			}
			return lack == "", nil
		},
		Cmds: commands{
			"exits": runExits,
			"soon":  n.runSoon,
			"agent": n.runAgent,
			"put":   n.runPut,
			"drop":  n.runDrop,
		},
	}
}

// useRootfs puts the node's root file system into the manifests of a directory.
func (n *node) useRootfs(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	for _, f := range files {
		text, readErr := os.ReadFile(f)
		text = bytes.ReplaceAll(text, []byte(demoRootfs), []byte(n.rootfs))
		err = errors.Join(err, readErr, os.WriteFile(f, text, 0o644))
	}
	return err
}

// clear ends the agent of the script before and removes its containers.
func (n *node) clear(t *testing.T) {
	t.Helper()
	must(t, n.stop())
	files, _ := filepath.Glob(n.path("manifests/*"))
	for _, f := range files {
		must(t, os.RemoveAll(f))
	}
	if _, err := os.Stat(n.path("state")); err == nil {
		must(t, n.once("--prune", "always"))
	}
}

func (n *node) runAgent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || neg {
		ts.Fatalf("usage: agent start|stop|kill|reload [FLAG...]")
	}
	var err error
	switch args[0] {
	case "start":
		err = n.start(args[1:]...)
	case "stop":
		err = n.stop()
	case "reload":
		err = n.agent.Process.Signal(syscall.SIGHUP)
	case "kill":
		err = n.agent.Process.Kill()
		_ = n.agent.Wait()
		n.agent = nil
	default:
		ts.Fatalf("agent cannot %s", args[0])
	}
	ts.Check(err)
}

func (n *node) runSoon(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(n.eventually(args[0], func() error {
		cmd := exec.Command(binary, args[2:]...)
		cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+n.socket())
		out, err := cmd.CombinedOutput()
		if err == nil && !strings.Contains(string(out), args[0]) {
			err = fmt.Errorf("the output is %q", out)
		}
		return err
	}))
}

func (n *node) runPut(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(n.put(filepath.Base(args[len(args)-1]), ts.ReadFile(args[0])))
}

func (n *node) runDrop(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Remove(filepath.Join(n.path("manifests"), args[0])))
}
