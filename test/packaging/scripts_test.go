package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// machine is a directory in the place of / for the maintainer scripts, with a systemctl that writes down what it is asked and says yes.
type machine struct {
	*testing.T
	root string
}

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{t, t.TempDir()}
	for _, dir := range []string{"run/systemd/system", "run/reconciler/state", "var/lib/reconciler", "var/log/reconciler", "etc/systemd/system/multi-user.target.wants", "bin"} {
		m.must(os.MkdirAll(m.path(dir), 0o755))
	}
	m.write("bin/systemctl", "#!/bin/sh\necho \"$*\" >>"+m.path("asked")+"\n", 0o755)
	m.write("asked", "", 0o644)
	return m
}

func (m machine) path(name string) string { return filepath.Join(m.root, name) }

func (m machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m machine) write(name, text string, mode os.FileMode) {
	m.Helper()
	m.must(os.WriteFile(m.path(name), []byte(text), mode))
}

// script runs one of the scripts with all its paths below the root, and returns what it says and what systemctl was asked.
func (m machine) script(name, word string) (said, asked string) {
	m.Helper()
	text, err := os.ReadFile("../../packaging/scripts/" + name)
	m.must(err)
	var moves []string
	for _, dir := range []string{"/run/", "/var/", "/etc/"} {
		moves = append(moves, dir, m.root+dir)
	}
	cmd := exec.Command("sh", "-c", strings.NewReplacer(moves...).Replace(string(text)), name, word)
	cmd.Env = append(os.Environ(), "PATH="+m.path("bin")+":"+os.Getenv("PATH"))
	m.write("asked", "", 0o644)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Errorf("%s %s: %v: %s", name, word, err, out)
	}
	log, err := os.ReadFile(m.path("asked"))
	m.must(err)
	return string(out), string(log)
}

func (m machine) there(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

// Whether containers run the keeper's lock says, whatever their scope is called; systemctl knows of no reconciler.scope here. Where the lock is elsewhere, the scope's name says it.
func TestScriptsAskTheKeeper(t *testing.T) {
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("needs flock")
	}
	m := newMachine(t)
	m.write("bin/systemctl", "#!/bin/sh\nexit 3\n", 0o755)
	lock, err := os.OpenFile(m.path("run/reconciler/state/keeper.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	m.must(err)
	defer lock.Close()
	m.must(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	if said, _ := m.script("prerm", "remove"); !strings.Contains(said, "the containers run on") {
		t.Errorf("a removal says %q", said)
	}
	if said, _ := m.script("postrm", "purge"); !strings.Contains(said, "containers run") || !m.there("var/lib/reconciler") || !m.there("var/log/reconciler") {
		t.Errorf("a purge takes what a container is in the middle of, and says %q", said)
	}
	m.must(lock.Close())
	m.write("bin/systemctl", "#!/bin/sh\n[ \"$*\" = '--quiet is-active reconciler.scope' ]\n", 0o755)
	if said, _ := m.script("postrm", "purge"); !strings.Contains(said, "containers run") || !m.there("var/lib/reconciler") {
		t.Errorf("a purge takes what a container with another runDir is in the middle of, and says %q", said)
	}
	m.write("bin/systemctl", "#!/bin/sh\nexit 3\n", 0o755)
	if said, _ := m.script("prerm", "remove"); said != "" {
		t.Errorf("a removal without containers says %q", said)
	}
	if said, _ := m.script("postrm", "purge"); said != "" || m.there("var/lib/reconciler") || m.there("var/log/reconciler") || m.there("run/reconciler") {
		t.Errorf("a purge leaves something, and says %q", said)
	}
}

// What was enabled is so until the package is gone, and runs again when the removal is given up.
func TestRemovalGivenUp(t *testing.T) {
	m := newMachine(t)
	enabled := "etc/systemd/system/multi-user.target.wants/reconciler.service"
	m.must(os.Symlink("/usr/lib/systemd/system/reconciler.service", m.path(enabled)))
	if _, asked := m.script("prerm", "remove"); strings.Contains(asked, "disable") || !strings.Contains(asked, "stop reconciler.socket reconciler.service") {
		t.Errorf("before a removal systemctl is asked for %q", asked)
	}
	_, asked := m.script("postinst", "abort-remove")
	for _, unit := range []string{"reconciler.socket", "reconciler.service", "reconciler-shutdown.service"} {
		if !strings.Contains(asked, "--system start "+unit+"\n") {
			t.Errorf("%s is not started again: %q", unit, asked)
		}
	}
	m.write("bin/systemctl", "#!/bin/sh\n[ \"$2\" != is-enabled ] || exit 1\necho \"$*\" >>"+m.path("asked")+"\n", 0o755)
	if _, asked := m.script("postinst", "abort-remove"); asked != "" {
		t.Errorf("what was not enabled is started: %q", asked)
	}
	m.script("postrm", "upgrade")
	if !m.there(enabled) {
		t.Error("an upgrade disables the agent")
	}
	m.script("postrm", "remove")
	if m.there(enabled) {
		t.Error("a removal leaves the agent enabled")
	}
}
