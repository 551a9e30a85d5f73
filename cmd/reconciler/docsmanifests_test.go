package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// foreign is YAML of others, which the pages about moving show.
	foreign = regexp.MustCompile(`(?m)^(apiVersion: (v1|apps/v1|batch/v1)|services:|  - job_name:)`)
	// elided is a line for what a page leaves out of a manifest.
	elided = regexp.MustCompile(`(?m)^  \.\.\.$`)
)

// TestDocManifests validates each YAML block of the documentation that is a manifest, a policy or a configuration of the agent.
func TestDocManifests(t *testing.T) {
	seen := 0
	for _, page := range docPages(t) {
		for _, b := range page.blocks {
			text := strings.Join(b.lines, "\n") + "\n"
			if b.info != "yaml" || foreign.MatchString(text) {
				continue
			}
			seen++
			if out, err := judgeDoc(t, elided.ReplaceAllString(text, "  rootfs: {path: /srv}\n  command: [run]")); err != nil {
				t.Errorf("%s:%d: %v\n%s", page.path, b.line, err, out)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d blocks are manifests", seen)
	}
}

// judgeDoc has the program say what is wrong with a document.
func judgeDoc(t *testing.T, text string) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	for _, found := range regexp.MustCompile(`fromFile: \./([\w.]+)`).FindAllStringSubmatch(text, -1) {
		write(found[1], "x")
	}
	args := []string{"validate", write("doc.yaml", text)}
	switch {
	case strings.Contains(text, "kind: AgentConfig"):
		args = []string{"config", "--check", args[1]}
	case strings.Contains(text, "kind: NodePolicy"):
		args = []string{"validate", "--policy", args[1], write("any.yaml", anyManifest)}
	}
	return exec.Command(binary, args...).CombinedOutput()
}

// anyManifest asks for nothing that a policy may refuse but a path and a limit.
const anyManifest = `apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: any}
spec: {rootfs: {path: /srv/images/any}, command: [run], resources: {memory: {max: 1Mi}}}
`
