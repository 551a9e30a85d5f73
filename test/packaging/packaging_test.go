// Package packaging tests the packages of `make deb` and `make rpm` without a systemd that runs; test/vm/package.sh installs one where it does.
package packaging

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needs skips a test where a program is missing.
func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
}

// copyTree copies what git knows, and what it would.
func copyTree(t *testing.T, into string) {
	t.Helper()
	const script = `cd ../.. && git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$1"`
	if out, err := exec.Command("bash", "-c", script, "bash", into).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy the tree: %v: %s", err, out)
	}
}

// makePackage makes a package in a tree, and returns its path.
func makePackage(t *testing.T, tree, kind, version string) string {
	t.Helper()
	cmd := exec.Command("make", "-s", kind, "OUT=out", "VERSION="+version)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %s: %v: %s", kind, err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// Two trees in two places give the same bytes.
func TestReproducible(t *testing.T) {
	needs(t, "make", "git", "gzip", "tar")
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere", "deeper")
	if err := os.MkdirAll(second, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tree := range []string{first, second} {
		copyTree(t, tree)
	}
	for _, kind := range []string{"deb", "rpm"} {
		a, b := makePackage(t, first, kind, "v1.2.3-4-gabcdef"), makePackage(t, second, kind, "v1.2.3-4-gabcdef")
		if !strings.Contains(filepath.Base(a), "1.2.3+4.gabcdef") {
			t.Errorf("%s has another version in its name", a)
		}
		if sum(t, a) != sum(t, b) {
			t.Errorf("%s and %s differ", a, b)
		}
	}
	checkContents(t, first)
	t.Run("lintian", func(t *testing.T) { lint(t, first) })
	t.Run("rpm", func(t *testing.T) { installRPM(t, first) })
}

func sum(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// checkContents looks into the Debian package: a page for each verb, units, completions, the bill, and scripts that a shell understands.
func checkContents(t *testing.T, tree string) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Logf("not looked into the package: no dpkg-deb")
		return
	}
	packages, _ := filepath.Glob(filepath.Join(tree, "out", "*.deb"))
	root := t.TempDir()
	if out, err := exec.Command("dpkg-deb", "--raw-extract", packages[0], root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	help, err := exec.Command(filepath.Join(root, "usr/bin/reconciler"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	verbs := 0
	for line := range strings.Lines(string(help)) {
		verb, _, ok := strings.Cut(strings.TrimPrefix(line, "  "), "  ")
		if !ok || !strings.HasPrefix(line, "  ") || strings.ContainsAny(verb, " -") || verb == "help" || verb < "a" {
			continue
		}
		verbs++
		if _, err := os.Stat(filepath.Join(root, "usr/share/man/man1/reconciler-"+verb+".1.gz")); err != nil {
			t.Error(err)
		}
	}
	if verbs < 20 {
		t.Errorf("only %d verbs in %s", verbs, help)
	}
	for _, path := range []string{
		"usr/share/man/man1/reconciler.1.gz", "usr/share/man/man5/reconciler-manifest.5.gz", "usr/share/man/man5/reconciler-config.5.gz", "usr/share/doc/reconciler/reconciler.cdx.json",
		"usr/share/bash-completion/completions/reconciler", "usr/share/zsh/vendor-completions/_reconciler", "usr/share/fish/vendor_completions.d/reconciler.fish",
		"usr/lib/systemd/system/reconciler.service", "usr/lib/systemd/system/reconciler.socket", "usr/lib/systemd/system/reconciler-shutdown.service",
		"usr/lib/sysusers.d/reconciler.conf", "usr/lib/tmpfiles.d/reconciler.conf", "etc/reconciler/config.yaml", "etc/reconciler/manifests.d",
	} {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if out, err := exec.Command("sh", "-n", filepath.Join(root, "DEBIAN", script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}

// The unit exposes no more than it may; the program that judges it is systemd's, and needs no systemd to run.
func TestSecurity(t *testing.T) {
	needs(t, "systemd-analyze")
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=65", "../../packaging/systemd/reconciler.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Nothing in the unit gives the agent a mount namespace of its own: descriptors of mounts would carry its flags into containers. See exec_needs_mount_namespace in systemd's
// src/core/exec-invoke.c.
func TestNoMountNamespace(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/systemd/reconciler.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(unit)) {
		for _, word := range []string{
			"ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectProc", "ProcSubset", "ProtectHostname",
			"Private", "ReadOnly", "ReadWrite", "Inaccessible", "Exec", "NoExec", "Bind", "Temporary", "Root", "Mount", "ExtensionI", "DynamicUser", "RestrictNamespaces", "RestrictSUIDSGID", "IPAddress",
			"RuntimeDirectory", "StateDirectory", "LogsDirectory", "LogNamespace", "User", "Group",
		} {
			if key, _, ok := strings.Cut(line, "="); ok && strings.HasPrefix(key, word) && key != "ExecStart" && key != "ExecReload" {
				t.Errorf("%s", line)
			}
		}
	}
}

// lint holds the deb to Debian's policy, as far as lintian knows it; packaging/lintian-overrides has what we do otherwise, and why.
func lint(t *testing.T, tree string) {
	t.Helper()
	needs(t, "lintian")
	cmd := exec.Command("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", makePackage(t, tree, "deb", "1.2.3"))
	cmd.Dir = tree
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// installRPM installs, upgrades, downgrades and removes the rpm.
func installRPM(t *testing.T, tree string) {
	t.Helper()
	needs(t, "rpm", "unshare", "chroot")
	if os.Geteuid() != 0 {
		t.Skip("needs root for a root of its own")
	}
	older, newer := makePackage(t, tree, "rpm", "v1.2.3-4-gabcdef"), makePackage(t, tree, "rpm", "1.3.0")
	if out, err := exec.Command("unshare", "--mount", "./rpm.sh", older, newer).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
