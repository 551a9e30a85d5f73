package keeper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// manager is a service manager with a store of descriptors, as sd_notify(3) has it, without order.
type manager struct {
	t    *testing.T
	path string
	conn *net.UnixConn

	mu    sync.Mutex
	store map[string][]*os.File
	ready chan struct{}
}

func newManager(t *testing.T) *manager {
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify"), store: map[string][]*os.File{}, ready: make(chan struct{}, 8)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m.conn = conn
	var work sync.WaitGroup
	work.Go(m.listen)
	t.Cleanup(func() {
		conn.Close()
		work.Wait()
		for name := range m.store {
			m.remove(name)
		}
	})
	return m
}

func (m *manager) listen() {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*64))
	for {
		n, got, _, _, err := m.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return
		}
		var files []*os.File
		messages, _ := unix.ParseSocketControlMessage(oob[:got])
		for i := range messages {
			fds, _ := unix.ParseUnixRights(&messages[i])
			for _, fd := range fds {
				files = append(files, os.NewFile(uintptr(fd), "stored"))
			}
		}
		_, rest, _ := strings.Cut(string(buf[:n]), "FDNAME=")
		name, _, _ := strings.Cut(rest, "\n")
		m.mu.Lock()
		switch text := string(buf[:n]); {
		case strings.HasPrefix(text, "READY=1"):
			m.ready <- struct{}{}
		case strings.HasPrefix(text, "FDSTOREREMOVE=1"):
			m.remove(name)
		case strings.HasPrefix(text, "FDSTORE=1") && strings.Contains(text, "FDPOLL=0"):
			m.remove(name) // the same ones again
			m.store[name] = files
		}
		m.mu.Unlock()
	}
}

func (m *manager) remove(name string) {
	for _, f := range m.store[name] {
		f.Close()
	}
	delete(m.store, name)
}

func (m *manager) names() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.store {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// start is keeper.Config.Start.
func (m *manager) start(_ context.Context, argv []string) error {
	m.mu.Lock()
	var names []string
	var files []*os.File
	for name, stored := range m.store {
		for _, f := range slices.Backward(stored) {
			names, files = append(names, name), append(files, f)
		}
	}
	m.mu.Unlock()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const script = `export LISTEN_PID=$$; name=$1; shift; exec -a "$name" "$EXE" "$@"`
	cmd := exec.Command("/bin/bash", append([]string{"-c", script, "bash"}, argv...)...)
	cmd.Env = []string{"EXE=" + self, "NOTIFY_SOCKET=" + m.path}
	if len(files) > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	cmd.ExtraFiles = files
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-m.ready:
		return nil
	case err := <-ended:
		return fmt.Errorf("%w: %s", err, said.String())
	}
}

// What ends while no keeper runs is known all the same where a service manager has what the last one held: how it ended, and the last of its output.
func TestStore(t *testing.T) {
	n, m := newNode(t), newManager(t)
	n.client.Close()
	n.killKeeper() // whoever newNode's is
	client, err := keeper.Ensure(t.Context(), keeper.Config{RunDir: n.run, Start: m.start})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n.client = client
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", n.keeperPid())); err != nil || !strings.HasPrefix(exe, "/memfd:") {
		t.Errorf("the keeper runs from %s, not from a sealed copy: %v", exe, err)
	}
	wait := func(file string) string {
		return fmt.Sprintf("while [ ! -e %s/%s ]; do sleep 0.02; done; ", n.run, file)
	}
	r, s := n.start("web", "echo first; "+wait("go")+"echo last words; echo of both >&2; exit 7")
	stays, running := n.start("stays", wait("later")+"echo stays; exit 3")
	n.eventually("store of both", func() bool { return slices.Equal(m.names(), []string{"stays.1.1", "web.1.1"}) })

	n.killKeeper()
	n.finish()
	n.eventually("reaping by another", func() bool { return errors.Is(unix.Kill(s.Pid, 0), unix.ESRCH) })
	if _, err := client.Hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := n.exit(r, s); got.Code != 7 && !(got.Reason == spec.ExitUnknown && !pidfdInfo(t)) {
		t.Errorf("exit %+v, want code 7", got)
	}
	if got := n.lines("web", log.Options{}); !slices.Contains(got, "first") || !slices.Contains(got, "last words") || !slices.Contains(got, "of both") {
		t.Errorf("output %q", got)
	}
	if err := os.WriteFile(filepath.Join(n.run, "later"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := n.exit(stays, running); got.Code != 3 && pidfdInfo(t) {
		t.Errorf("exit %+v of the one that stayed, want code 3", got)
	}
	n.eventually("an empty store", func() bool { return len(m.names()) == 0 })
}
