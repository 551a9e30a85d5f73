package keeper_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// frame is a frame with lengths that need not be true.
func frame(head, body, files uint32, text string) []byte {
	var b []byte
	for _, n := range []uint32{head, body, files} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return append(b, text...)
}

// whole is a true frame of a header alone.
func whole(header string) []byte { return frame(uint32(len(header)), 0, 0, header) }

// Whatever a client says, the keeper hangs up or answers with an error, keeps nothing, and goes on.
func TestHostileClients(t *testing.T) {
	n := newNode(t)
	if info, err := os.Stat(filepath.Join(n.run, "state", "keeper.sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	before := n.settled()
	for name, say := range map[string][]byte{
		"nothing":        nil,
		"half a length":  {1, 2},
		"no JSON":        frame(4, 0, 0, "oops"),
		"huge header":    frame(1<<31, 0, 0, ""),
		"huge body":      frame(2, 1<<31, 0, "{}"),
		"many files":     frame(2, 0, 1<<20, "{}"),
		"missing files":  frame(2, 0, 3, "{}\x00"),
		"other protocol": whole(`{"protocol":9,"verb":"list"}`),
		"unknown verb":   whole(`{"protocol":1,"verb":"dance"}`),
		"no program":     whole(`{"protocol":1,"verb":"start","key":{"name":"x","instance":1}}`),
		"way out":        whole(`{"protocol":1,"verb":"start","key":{"name":"..","instance":1}}`),
		"upgrade to air": whole(`{"protocol":1,"verb":"upgrade"}`),
	} {
		c, err := net.Dial("unix", filepath.Join(n.run, "state", "keeper.sock"))
		if err != nil {
			t.Fatal(name, err)
		}
		c.Write(say)
		c.(*net.UnixConn).CloseWrite()
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
	if ps, err := n.client.List(t.Context()); err != nil || len(ps) != 0 {
		t.Errorf("list = %v, %v", ps, err)
	}
	n.eventually("descriptors as before", func() bool { return n.descriptors() <= before })
}

// Descriptors of a request that is refused are closed, however many came.
func TestManyFiles(t *testing.T) {
	n := newNode(t)
	r := n.request("many", 1, "exit 2")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for i := range 600 { // three messages' worth
		r.Files[string(rune('a'+i%26))+string(rune('a'+i/26))] = null
	}
	before := n.settled()
	s, err := n.client.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if e := n.exit(r, s); e.Code != 2 {
		t.Errorf("exit = %+v", e)
	}
	bad := r
	bad.Instance = 0
	if _, err := n.client.Start(t.Context(), bad); err == nil {
		t.Error("instance 0 started")
	}
	if err := n.client.Forget(t.Context(), r.Name); err != nil {
		t.Fatal(err)
	}
	n.eventually("descriptors as before", func() bool { return n.descriptors() <= before })
}

// A container gets its three standard descriptors and nothing else of the keeper, and ignores no signal for it.
func TestInherited(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("inside", "echo ready; exec sleep 100000")
	proc := fmt.Sprintf("/proc/%d", s.Pid)
	n.eventually("execution of sleep", func() bool {
		name, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		return err == nil && strings.HasPrefix(string(name), "sleep")
	})
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range open {
		target, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		want := []string{os.DevNull, filepath.Join(r.Dir, "stdout"), filepath.Join(r.Dir, "stderr")}
		if err != nil || i >= len(want) || target != want[i] {
			t.Errorf("descriptor %s is %s, %v", fd.Name(), target, err)
		}
	}
	// What the test itself was made to ignore, as make does with two signals, the keeper does not, and so its child does not either.
	signals, err := process.ReadSignals(s.Pid)
	if err != nil || signals.Ignored != 0 || signals.Blocked != 0 {
		t.Errorf("signals = %+v, %v", signals, err)
	}
}
