package keeper_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// bystander is a process in a cgroup of the test's that no keeper has anything to do with.
func (n *node) bystander(name string) *exec.Cmd {
	n.t.Helper()
	group := filepath.Join(n.cgroup, name)
	if err := os.MkdirAll(group, 0o700); err != nil {
		n.t.Fatal(err)
	}
	dir, err := os.Open(group)
	if err != nil {
		n.t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command("/bin/sleep", "100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// lives fails the test if a child of it has ended.
func (n *node) lives(cmd *exec.Cmd, why string) {
	n.t.Helper()
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || err != nil {
		n.t.Fatalf("%s: the bystander has ended: %v, %v", why, status, err)
	}
}

// victim is a record of the node's boot that could be true, of a process that the test may end. The files are those of instance 1 of "m0000".
func (n *node) victim() (files map[string]string, cmd *exec.Cmd) {
	n.t.Helper()
	cmd = n.bystander("victims")
	start, err := process.StartTime(cmd.Process.Pid)
	if err != nil {
		n.t.Fatal(err)
	}
	boot, err := process.BootID()
	if err != nil {
		n.t.Fatal(err)
	}
	group := filepath.Join(n.cgroup, "m0000", "1")
	text := func(pid int, starts int) string {
		return fmt.Sprintf(`{"pid":%d,"startTime":%d,"bootID":%q,"startedAt":"2026-01-02T03:04:05.678Z","starts":%d,"oomKills":0,"id":"x",`+
			`"key":{"name":"m0000","instance":1},"sandbox":{"key":"m0000","kinds":[]},"log":{"dir":"%s/log/m0000","maxSize":65536,"maxFiles":2},`+
			`"cgroup":%q,"oom":"%s/memory.events","init":false}`, pid, start, boot, starts, n.run, group, group)
	}
	return map[string]string{
		keeper.StartFile: text(cmd.Process.Pid, 1),
		"starting.json":  text(0, 2),
		keeper.StopFile:  `{"signal":"SIGTERM","deadline":"2099-01-02T03:04:05Z","reason":"Stopped","boottime":999999999999999999}`,
		keeper.ExitFile:  fmt.Sprintf(`{"code":7,"reason":"Error","pid":%d,"startedAt":"2026-01-02T03:04:05.678Z","finishedAt":"2026-01-02T03:04:06Z"}`, cmd.Process.Pid),
	}, cmd
}

// spoil writes an instance of its own for number i, with one of its files changed.
func (n *node) spoil(i int, files map[string]string, file string, change func(string) string) {
	n.t.Helper()
	name := fmt.Sprintf("m%04d", i)
	dir := filepath.Join(n.run, "state", name, "1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.t.Fatal(err)
	}
	for f, text := range files {
		if f == keeper.ExitFile && file != f {
			continue // it would be the end of the run
		}
		text = strings.ReplaceAll(text, "m0000", name)
		if f == file {
			text = change(text)
		}
		n.write(filepath.Join(dir, f), text)
	}
}

// adoptSpoiled starts a keeper over what is there, ends the victim, waits until the keeper has seen that, and kills the keeper.
func (n *node) adoptSpoiled(victim *exec.Cmd) {
	n.t.Helper()
	n.client = n.ensure()
	if _, err := n.client.List(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	victim.Process.Kill()
	victim.Wait()
	n.eventually("end of all", func() bool {
		ps, err := n.client.List(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		for _, p := range ps {
			if p.Running && strings.HasPrefix(p.Name, "m") {
				return false
			}
		}
		return true
	})
	n.killKeeper()
	n.unhurt()
	for i := range spoiledBatch {
		os.RemoveAll(filepath.Join(n.run, "state", fmt.Sprintf("m%04d", i)))
	}
}

// spoiledBatch is how many spoiled instances a keeper finds at once.
const spoiledBatch = 400

// Whatever bits and pieces the files of a keeper are, the next one starts, harms nobody and does not panic.
func TestSpoiledFiles(t *testing.T) {
	n := newNode(t)
	other := n.bystander("other")
	healthy, s := n.startReady("healthy", trapping("exit 3"))
	n.killKeeper()
	files, victim := n.victim()
	random := rand.New(rand.NewPCG(1, 2))
	i := 0
	spoil := func(file string, change func(string) string) {
		n.spoil(i, files, file, change)
		if i++; i == spoiledBatch {
			n.adoptSpoiled(victim)
			n.lives(other, file)
			files, victim = n.victim()
			i = 0
		}
	}
	for _, file := range []string{keeper.StartFile, "starting.json", keeper.StopFile, keeper.ExitFile} {
		for length := range len(files[file]) {
			spoil(file, func(text string) string { return text[:length] })
		}
		for range scaled(300, 20_000) {
			spoil(file, func(text string) string {
				b := []byte(text)
				b[random.IntN(len(b))] ^= 1 << random.IntN(8)
				return string(b)
			})
		}
	}
	n.adoptSpoiled(victim)
	n.lives(other, "the rest")
	n.client = n.ensure()
	if again, err := n.client.Start(t.Context(), healthy); err != nil || again.Pid != s.Pid {
		t.Errorf("healthy: %+v, %v, want %+v", again, err, s)
	}
}

// Records that would be understood, but are not the instance's, are reported and nothing is done by them, even when their process ends.
func TestForeignRecords(t *testing.T) {
	n := newNode(t)
	other := n.bystander("other")
	namesake := n.bystander("m0000/1/below") // no path that is written otherwise leads here
	n.killKeeper()
	files, victim := n.victim()
	lies := []map[string]any{
		{"cgroup": filepath.Join(n.cgroup, "other")},
		{"cgroup": n.cgroup},
		{"cgroup": "/"},
		{"cgroup": ""},
		{"cgroup": "m0000/1"},
		{"cgroup": n.cgroup + "/m0000/1/../../other/../m0000/1"},
		{"cgroup": n.cgroup + "//m0000/1"},
		{"cgroup": n.cgroup + "/m0000/1/"},
		{"cgroup": n.cgroup + "/m0000/2"},
		{"cgroup": n.cgroup + "/xm0000/1"},
		{"cgroup": n.cgroup + "/m0000/1/below"},
		{"key": map[string]any{"name": "other", "instance": 1}},
		{"key": map[string]any{"name": "m0000", "instance": 2}},
		{"pid": 0},
		{"pid": 1},
		{"pid": -1},
		{"pid": -victim.Process.Pid},
		{"pid": 1 << 40},
		{"log": map[string]any{"dir": "log"}},
		{"log": map[string]any{"dir": "/run/../etc"}},
		{"log": nil},
		{"oom": "/dev/zero"},
		{"oom": "memory.events"},
		{"sandbox": map[string]any{"key": "../m0000", "kinds": []string{"uts"}}},
		{"sandbox": map[string]any{"key": "m0000", "kinds": []string{"mnt"}}},
		{"starts": 0},
		{"starts": -1},
	}
	delete(files, "starting.json")
	for i, lie := range lies {
		n.spoil(i, files, keeper.StartFile, func(text string) string {
			var record map[string]json.RawMessage
			if err := json.Unmarshal([]byte(text), &record); err != nil {
				t.Fatal(err)
			}
			for field, value := range lie {
				text, _ := json.Marshal(value)
				record[field] = json.RawMessage(strings.ReplaceAll(string(text), "m0000", fmt.Sprintf("m%04d", i)))
			}
			out, _ := json.Marshal(record)
			return string(out)
		})
	}
	n.client = n.ensure()
	ps, err := n.client.List(t.Context())
	if err != nil || len(ps) != 0 {
		t.Errorf("adopted %+v, %v", ps, err)
	}
	if said := strings.Count(n.says(), "cannot be believed"); said != len(lies) {
		t.Errorf("%d of %d are reported", said, len(lies))
	}
	n.adoptSpoiled(victim)
	n.lives(other, "foreign records")
	n.lives(namesake, "foreign records")
}
