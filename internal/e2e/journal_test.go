package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// TestJournal has containers write to a real journal, and reads it back.
func TestJournal(t *testing.T) {
	n := newNode(t)
	enter := n.journal()
	n.start()
	n.put("group.yaml", manifest("web", `echo hello; sleep 0.1; echo oops >&2; sleep 0.1; printf 'no\033end'; sleep 0.2; echo ' here'; exec sleep 1000`, "  logs: {driver: Journald}\n"))
	n.put("both.yaml", manifest("both", `echo in both; exec sleep 1000`, "  logs: {driver: Both}\n"))
	n.put("none.yaml", manifest("none", `yes | head -c 1000000; exec sleep 1000`, "  logs: {driver: None}\n"))
	for _, name := range []string{"web", "both", "none"} {
		n.phase(name, spec.PhaseRunning)
	}
	n.said("web", "hello\noops\nno\x1bend here\n")
	n.said("both", "in both\n")
	n.want("logs of a stream", "oops\n", "logs", "web", "--stream", "stderr")
	n.want("the last line", "no\x1bend here\n", "logs", "web", "--tail", "1")
	n.want("the last lines of an hour", "oops\nno\x1bend here\n", "logs", "web", "--tail", "2", "--since", "1h")
	n.want("the last lines up to now", "oops\nno\x1bend here\n", "logs", "web", "--tail", "2", "--until", "0s")
	n.want("no lines of long ago", "", "logs", "web", "--tail", "2", "--until", "1h")
	n.want("the last line and what comes", "no\x1bend here\n", "logs", "web", "--tail", "1", "--since", "1h", "-f", "--until", time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano))
	if out, err := n.cli("logs", "none"); err == nil || !strings.Contains(out, "not kept") {
		t.Errorf("logs of a container that has none: %v, %q", err, out)
	}
	if files, _ := filepath.Glob(n.path("log/none/*")); len(files) > 0 {
		t.Errorf("driver None has files: %v", files)
	}
	fields := enter("journalctl", "-o", "export", "CONTAINER_NAME=web", "RECONCILER_STREAM=stderr", "RECONCILER_LOG="+n.path("log/web"))
	for _, want := range []string{"MESSAGE=oops", "PRIORITY=3", "SYSLOG_IDENTIFIER=web", "CONTAINER_ID=web/1", "RECONCILER_INSTANCE=1", "RECONCILER_START=1", "RECONCILER_MANIFEST=" + n.path("manifests/group.yaml")} {
		if !strings.Contains(fields, want+"\n") {
			t.Errorf("no %s in\n%s", want, fields)
		}
	}
	n.eventually("the journal knows of events", func() error {
		if out := enter("journalctl", "-o", "cat", "RECONCILER_CONTAINER=web", "RECONCILER_REASON=Started"); !strings.Contains(out, "web: Started") {
			return fmt.Errorf("it says %q", out)
		}
		return nil
	})

	// An agent that is killed, and output while there is none: nothing is lost, or twice.
	n.put("count.yaml", manifest("count", `i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.01; done; exec sleep 1000`, "  logs: {driver: Journald}\n"))
	n.phase("count", spec.PhaseRunning)
	n.signal(syscall.SIGKILL)
	n.start()
	n.eventually("all lines are in the journal", func() error {
		out, err := n.cli("logs", "count")
		if err == nil && strings.Count(out, "\n") < 300 {
			err = fmt.Errorf("%d lines", strings.Count(out, "\n"))
		}
		return err
	})
	for i, line := range strings.Split(strings.TrimSuffix(n.logs("count"), "\n"), "\n") {
		if line != fmt.Sprintf("line %d", i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}

	// A driver changes while the container runs on.
	pid := n.phase("both", spec.PhaseRunning).Status.Container.Pid
	n.put("both.yaml", manifest("both", `echo in both; exec sleep 1000`, "  logs: {driver: File}\n"))
	n.eventually("the driver is another", func() error {
		o, err := n.get("both")
		if err == nil && o.Spec.Logs.Driver != spec.LogFile {
			err = fmt.Errorf("it is %s", o.Spec.Logs.Driver)
		}
		return err
	})
	if now := n.phase("both", spec.PhaseRunning).Status.Container.Pid; now != pid {
		t.Errorf("it has pid %d, had %d", now, pid)
	}
}

// TestJournalGone has the journal away for a while, and slower than who writes.
func TestJournalGone(t *testing.T) {
	n := newNode(t)
	n.prefix = []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", `mount -t tmpfs none /run/systemd && exec "$@"`, "sh"}
	if _, err := os.Stat("/run/systemd"); err != nil {
		n.prefix = nil
	}
	n.start()
	n.put("loud.yaml", manifest("loud", `head -c 30000000 /dev/zero | tr '\0' '\n'; echo done; exec sleep 1000`, "  logs: {driver: Journald, maxSize: 1Mi, maxFiles: 2}\n"))
	n.phase("loud", spec.PhaseRunning)
	n.eventually("it wrote all, though nobody takes it", func() error {
		raw, _ := filepath.Glob(n.path("log/loud/*.log"))
		if len(raw) == 0 {
			return os.ErrNotExist
		}
		slices.Sort(raw)
		text, err := os.ReadFile(raw[len(raw)-1])
		if err == nil && !bytes.HasSuffix(text, []byte("done\n")) {
			err = fmt.Errorf("%d bytes", len(text))
		}
		return err
	})
	size := int64(0)
	files, _ := filepath.Glob(n.path("log/loud/*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			size += info.Size()
		}
	}
	if size > 2<<20+1<<10 {
		t.Errorf("%d bytes on disk", size)
	}
}

// said waits until logs shows what a container has said.
func (n *node) said(name, want string) {
	n.t.Helper()
	n.eventually(name+" has said", func() error {
		out, err := n.cli("logs", name)
		if err == nil && out != want {
			err = fmt.Errorf("%q", out)
		}
		return err
	})
}

func (n *node) want(what, want string, args ...string) {
	n.t.Helper()
	if out, err := n.cli(args...); err != nil || out != want {
		n.t.Errorf("%s: %v, %q, want %q", what, err, out, want)
	}
}

// journal has the agent log to a journal: this machine's, or one of its own, in a mount namespace that both have. It gives what runs a command beside that.
func (n *node) journal() (enter func(command ...string) string) {
	n.extra = append(n.extra, "--log-format", "journal")
	run := func(args ...string) string {
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			n.t.Errorf("%v: %v", args, err)
		}
		return string(out)
	}
	if _, err := exec.LookPath("journalctl"); err != nil {
		n.t.Skip("skip: needs journalctl: not installed")
	}
	if _, err := os.Stat("/run/systemd/journal/socket"); err == nil {
		return run
	}
	const daemon = "/lib/systemd/systemd-journald"
	if _, err := os.Stat(daemon); err != nil {
		n.t.Skip("skip: needs journald: " + err.Error())
	}
	// In /run of its own, but for what the node has there; nothing of it is kept on disk.
	journald := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		"mkdir -p /run/systemd /run/log && mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/log && mount -t tmpfs none /var/log/journal 2>/dev/null; exec "+daemon)
	if err := journald.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = journald.Process.Kill()
		_ = journald.Wait()
		n.prefix = nil
	})
	pid := strconv.Itoa(journald.Process.Pid)
	n.eventually("journald listens", func() error {
		_, err := os.Stat("/proc/" + pid + "/root/run/systemd/journal/socket")
		return err
	})
	n.prefix = []string{"nsenter", "--target", pid, "--mount", "--"}
	return func(command ...string) string { return run(append(slices.Clone(n.prefix), command...)...) }
}
