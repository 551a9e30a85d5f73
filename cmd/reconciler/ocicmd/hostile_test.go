package ocicmd_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// must fails the test at once.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// Names, and what a configuration is, are refused before anything is made of them.
func TestHostileBundles(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("h", "sleep 1000")
	config := filepath.Join(bundle, "config.json")
	good := w.read(config)
	for _, id := range []string{"../h", "..", ".", "a/b", "a\nb", "", strings.Repeat("a", 256), "ä"} {
		w.refused(1, "invalid container ID", "create", "--bundle", bundle, id)
		w.refused(1, "invalid container ID", "delete", "--force", id)
		w.refused(1, "invalid container ID", "state", id)
	}
	// A FIFO that somebody holds open, and does not write to.
	w.must(os.Remove(config))
	w.must(unix.Mkfifo(config, 0o600))
	fifo, err := os.OpenFile(config, os.O_RDWR, 0)
	w.must(err)
	defer fifo.Close()
	w.refused(1, "no regular file", "create", "--bundle", bundle, "h")
	for name, text := range map[string]string{
		"huge":  `{"ociVersion":"1.2.1","hostname":"` + strings.Repeat("x", 9<<20) + `"}`,
		"deep":  strings.Repeat(`{"a":`, 1<<20),
		"deep2": `{"ociVersion":"1.2.1","annotations":` + strings.Repeat("[", 1<<20),
		"empty": "",
		"null":  "null",
		"list":  "[]",
		"bare":  `{"ociVersion":"1.2.1"}`,
		"nul":   strings.Replace(good, `"/bin/sh"`, `"/bin/sh\u0000x"`, 1),
	} {
		w.must(os.Remove(config))
		w.must(os.WriteFile(config, []byte(text), 0o600))
		if r := w.try("create", "--bundle", bundle, "h"); r.code != 1 || r.err == "" || len(r.err) > 2000 {
			t.Errorf("%s: code %d: %.2000s", name, r.code, r.err)
		}
	}
	for _, id := range strings.Fields(w.try("list", "-q").out) {
		t.Errorf("left: %s", id)
	}
}

// What others may write to is no root: by what is in it, processes would be killed and programs run.
func TestHostileRoot(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("h", "sleep 1000")
	w.run("create", "--bundle", bundle, "h")
	refuse := func() {
		t.Helper()
		for _, args := range [][]string{{"create", "--bundle", bundle, "i"}, {"state", "h"}, {"start", "h"}, {"kill", "h"}, {"delete", "--force", "h"}, {"list"}, {"ps", "h"}, {"pause", "h"}, {"update", "--pids-limit", "7", "h"}} {
			w.refused(1, "others may write to it", args...)
		}
		w.refused(255, "others may write to it", "exec", "h", "true")
	}
	w.must(os.Chmod(w.root, 0o1777))
	refuse()
	w.must(os.Chmod(w.root, 0o711))
	w.must(os.Chown(w.root, 4242, 0))
	refuse()
	w.must(os.Chown(w.root, 0, 0))
	w.is("h", specs.StateCreated)
}

// A pid file can be anywhere, with anything of others beside it: nothing of that is written to, or waited for.
func TestHostilePidFile(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("h", "sleep 1000")
	dir := filepath.Join(w.dir, "shared")
	w.must(os.Mkdir(dir, 0o777))
	canary := filepath.Join(w.dir, "canary")
	w.must(os.WriteFile(canary, []byte("canary"), 0o600))
	pid, part := filepath.Join(dir, "h.pid"), filepath.Join(dir, "h.pid.new")
	for name, spoil := range map[string]func(path string) error{
		"symlink": func(path string) error { return os.Symlink(canary, path) },
		"FIFO":    func(path string) error { return unix.Mkfifo(path, 0o666) },
		"nothing": func(string) error { return nil },
	} {
		for _, path := range []string{pid, part} {
			os.Remove(pid)
			w.must(spoil(path))
			w.run("create", "--bundle", bundle, "--pid-file", pid, "h")
			if info, err := os.Lstat(pid); err != nil || !info.Mode().IsRegular() || w.read(pid) == "" {
				t.Errorf("%s at %s: the pid file is %v, %v", name, path, info, err)
			}
			if w.read(canary) != "canary" {
				t.Errorf("%s at %s: written through", name, path)
			}
			w.run("delete", "--force", "h")
		}
	}
	// No place for one: nothing is left of the container.
	for _, path := range []string{dir, "/nonexistent/pid", "/proc/pid"} {
		if r := w.try("create", "--bundle", bundle, "--pid-file", path, "h"); r.code != 1 || !strings.Contains(r.err, "pid file") {
			t.Errorf("%s: code %d: %s", path, r.code, r.err)
		}
		w.refused(1, "does not exist", "state", "h")
	}
}

// A console socket can be anything: the container is refused, and nothing is left of it; or nobody reads, which is nobody's matter.
func TestHostileConsoleSocket(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("h", "sleep 1000", func(s *specs.Spec) { s.Process.Terminal = true })
	file := filepath.Join(w.dir, "file")
	w.must(os.WriteFile(file, nil, 0o600))
	fifo := filepath.Join(w.dir, "fifo")
	w.must(unix.Mkfifo(fifo, 0o600))
	deaf := filepath.Join(w.dir, "deaf")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: deaf, Net: "unix"})
	w.must(err)
	l.SetUnlinkOnClose(false)
	w.must(l.Close())
	datagram := filepath.Join(w.dir, "datagram")
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagram, Net: "unixgram"})
	w.must(err)
	defer d.Close()
	full := filepath.Join(w.dir, "full")
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	w.must(err)
	defer unix.Close(s)
	w.must(unix.Bind(s, &unix.SockaddrUnix{Name: full}))
	w.must(unix.Listen(s, 0))
	waiting, err := net.Dial("unix", full)
	w.must(err)
	defer waiting.Close()
	for _, path := range []string{file, fifo, deaf, datagram, full, w.dir, "/nonexistent", strings.Repeat("/x", 100)} {
		if r := w.try("create", "--bundle", bundle, "--console-socket", path, "h"); r.code != 1 || !strings.Contains(r.err, "cannot hand over") {
			t.Errorf("%s: code %d: %s", path, r.code, r.err)
		}
		w.refused(1, "does not exist", "state", "h")
	}
	unread := filepath.Join(w.dir, "unread")
	u, err := net.Listen("unix", unread)
	w.must(err)
	defer u.Close()
	w.run("create", "--bundle", bundle, "--console-socket", unread, "h")
	w.run("start", "h")
	w.is("h", specs.StateRunning)
	w.run("delete", "--force", "h")
}
