package machine_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// reaches tells whether somebody listens at a port inside a container.
func (n *node) reaches(name, address string) error {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	conn, err := n.Dial(ctx, name, 1, "tcp", address)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// Whatever network a container has, connections are made from inside it: its own, its users', the node's, or another's. None leaves a descriptor.
func TestDialNetworks(t *testing.T) {
	kerneltest.Root(t)
	n := open(t)
	const serving = "httpd -p 8080; echo up; exec sleep 1000"
	private, host, joined, users := n.container("private", serving), n.container("host", "echo up; exec sleep 1000"), n.container("joined", "echo up; exec sleep 1000"), n.container("users", serving)
	host.Spec.Network.Mode = spec.NetworkHost
	joined.Spec.Network = spec.Network{Mode: spec.NetworkJoin, Join: "container:private"}
	users.Spec.Namespaces.User.Mode = spec.UserAuto
	all := []spec.Container{private, host, joined}
	if feature.UserNamespaces.Probe() == nil {
		all = append(all, users)
	}
	for _, c := range all {
		n.run(c)
		n.hear(c.Metadata.Name, "up")
	}
	here, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer here.Close()
	must(t, n.reaches("private", "127.0.0.1:8080"))
	handle, err := n.Load(t.Context(), "private")
	must(t, err)
	conn, err := handle.Dial(t.Context(), "tcp4", "127.0.0.1:8080")
	must(t, err)
	must(t, conn.Close())
	before := descriptors(t)
	for _, c := range all {
		name := c.Metadata.Name
		errHost := n.reaches(name, here.Addr().String())
		if (errHost == nil) != (name == "host") {
			t.Errorf("%s reaches the node: %v", name, errHost)
		}
		if err := n.reaches(name, "127.0.0.1:8080"); (err == nil) != (name != "host") {
			t.Errorf("%s reaches a container: %v", name, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// A process that has the number of one that has ended is a stranger: nobody connects from its network.
func TestDialStranger(t *testing.T) {
	n := open(t)
	n.run(n.container("web", "httpd -p 8080; echo up; exec sleep 1000"))
	n.hear("web", "up")
	must(t, n.reaches("web", "127.0.0.1:8080"))
	path := n.path("run", "state", "web", "1", "start.json")
	data, err := os.ReadFile(path)
	must(t, err)
	var started map[string]any
	must(t, json.Unmarshal(data, &started))
	started["startTime"] = 1
	altered, err := json.Marshal(started)
	must(t, err)
	must(t, os.WriteFile(path, altered, 0o644))
	if err := n.reaches("web", "127.0.0.1:8080"); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("connected from a stranger's network: %v", err)
	}
	must(t, os.WriteFile(path, data, 0o644))
}

// While an image is being taken nobody answers, and an image is not held up by who asks.
func TestDialDuringImage(t *testing.T) {
	kerneltest.Criu(t)
	n := open(t)
	n.run(n.container("web", "httpd -p 8080; echo up; exec sleep 1000"))
	n.hear("web", "up")
	done := make(chan error)
	go func() {
		_, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{})
		done <- err
	}()
	busy := 0
	for {
		err := n.reaches("web", "127.0.0.1:8080")
		switch {
		case errors.Is(err, spec.ErrBusy):
			busy++
		case err != nil:
			t.Error(err)
		}
		select {
		case err := <-done:
			must(t, err)
			t.Logf("%d connections were refused meanwhile", busy)
			must(t, n.reaches("web", "127.0.0.1:8080"))
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// An exec of a probe that hangs is killed at its timeout with what it has started, and one that is not there is an answer.
func TestProbeExec(t *testing.T) {
	n := open(t)
	n.run(n.container("web", "echo up; exec sleep 1000"))
	n.hear("web", "up")
	ask := func(script ...string) error {
		return probe.Check(t.Context(), spec.Probe{Exec: &spec.ExecProbe{Command: script}, Timeout: spec.Duration(500 * time.Millisecond)}, probe.Means{
			Exec: func(ctx context.Context, command []string) (int, []byte, error) {
				return probe.Run(ctx, command, func(ctx context.Context, e spec.Exec) (spec.Session, error) { return n.Exec(ctx, "web", 1, e) })
			},
		})
	}
	must(t, ask("true"))
	before := descriptors(t)
	for _, c := range []struct {
		command []string
		says    string
	}{
		{[]string{"sh", "-c", "echo no database >&2; exit 3"}, "exit code 3: no database"},
		{[]string{"sh", "-c", "sleep 999 & trap : TERM; sleep 999"}, "no answer within 500ms"},
		{[]string{"sh", "-c", "yes & yes >&2"}, "no answer within 500ms"},
		{[]string{"nothing"}, "no such file"},
	} {
		if err := ask(c.command...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: got %v, want %q", c.command, err, c.says)
		}
	}
	left, err := n.Processes(t.Context(), "web", 1)
	if must(t, err); len(left) != 1 {
		t.Errorf("processes are left: %+v", left)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
