package keeper_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// says is the keeper's own log.
func (n *node) says() string {
	text, _ := os.ReadFile(filepath.Join(n.run, "state", "keeper.log"))
	return string(text)
}

// Whatever has taken the place of a FIFO while no keeper ran, the next one starts, reaps and records.
func TestAdoptedWithoutPipes(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"file":      func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) }, // not replaced
		"nothing":   func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			r, s := n.startReady("piped", trapping("exit 3"))
			n.killKeeper()
			for _, pipe := range []string{"stdout", "stderr"} {
				path := filepath.Join(r.Dir, pipe)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := spoil(path); err != nil {
					t.Fatal(err)
				}
			}
			n.client = n.ensure()
			if again, err := n.client.Start(t.Context(), r); err != nil || again.Pid != s.Pid {
				t.Fatalf("start = %+v, %v, want %+v", again, err, s)
			}
			info, err := os.Lstat(filepath.Join(r.Dir, "stdout"))
			if fifo := err == nil && info.Mode().Type() == os.ModeNamedPipe; fifo == (name == "directory") {
				t.Errorf("stdout is a FIFO: %v, %v", fifo, err)
			}
			n.stop(r, time.Hour)
			if e := n.exit(r, s); e.Code != 3 && pidfdInfo(t) {
				t.Errorf("exit = %+v", e)
			}
			n.unhurt()
		})
	}
}

// unhurt looks for panics in what the keeper says.
func (n *node) unhurt() {
	n.t.Helper()
	if text := n.says(); strings.Contains(text, "panic") {
		n.t.Errorf("the keeper says: %s", text)
	}
}

// With its log's directory gone bad, output is dropped and counted, nobody waits for it, and the exit is exact. As soon as
// the directory is good again the log goes on.
func TestAdoptedWithoutLog(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("mute", `trap 'exit 3' TERM; echo ready
while [ ! -e `+n.run+`/go ]; do sleep 0.02; done
head -c 1000000 /dev/zero; echo "$?" > `+n.run+`/done
while :; do echo tick; sleep 0.02; done`)
	n.killKeeper()
	if err := os.RemoveAll(r.Log.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Log.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.client = n.ensure()
	n.finish()
	n.eventually("end of the writing", func() bool { _, err := os.Stat(filepath.Join(n.run, "done")); return err == nil })
	n.eventually("count of what was dropped", func() bool {
		ps, err := n.client.List(t.Context())
		return err == nil && len(ps) == 1 && ps[0].Running && ps[0].Dropped >= 1000000
	})
	// An adopted record does not make directories: a torn one could name any.
	if err := errors.Join(os.Remove(r.Log.Dir), os.Mkdir(r.Log.Dir, 0o750)); err != nil {
		t.Fatal(err)
	}
	n.eventually("output again", func() bool { return len(n.lines(r.Name, log.Options{Tail: 1})) > 0 })
	if err := os.RemoveAll(r.Log.Dir); err != nil {
		t.Fatal(err)
	}
	n.stop(r, time.Hour)
	if e := n.exit(r, s); (e.Code != 3 || e.Reason != spec.ExitStopped) && pidfdInfo(t) {
		t.Errorf("exit = %+v", e)
	}
	n.unhurt()
}

// The same when the process ends while the log is still bad.
func TestEndsWithoutLog(t *testing.T) {
	n := newNode(t)
	r, s := n.startReady("mute", trapping("echo bye; exit 4"))
	n.killKeeper()
	if err := os.RemoveAll(r.Log.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Log.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.client = n.ensure()
	n.stop(r, time.Hour)
	if e := n.exit(r, s); e.Code != 4 && pidfdInfo(t) {
		t.Errorf("exit = %+v", e)
	}
	n.unhurt()
}
