package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secretConfig is a sensitive config with a value in every place that one can have, and a container that uses it.
const secretConfig = `apiVersion: reconciler/v1alpha1
kind: Config
metadata: {name: secret}
spec:
  sensitive: true
  env: {PASSWORD: %[1]s-env}
  files:
    text: {text: %[1]s-text}
    file: {fromFile: ./secret.txt}
---
apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: web}
spec:
  rootfs: {path: /var/lib/reconciler-demo/rootfs}
  command: [sh, -c, "trap 'exit 0' TERM; test -n \"$PASSWORD\" && echo $(cat /secret/text /secret/file | wc -c); while :; do sleep 0.05; done"]
  configs: [{name: secret, path: /secret, env: true}]
`

// What a sensitive config holds is in no file but those of the run directory, in no output and in no log: not when it comes, not when it changes, not when
// it is wrong, and not after the death of the agent.
func TestSensitive(t *testing.T) {
	n := newNode(t)
	t.Cleanup(func() {
		for _, err := range n.dispose() {
			t.Error(err)
		}
	})
	beside := func(text string) {
		t.Helper()
		must(t, n.put("secret.txt", text))
	}
	beside("hunter2-file")
	must(t, n.put("web.yaml", fmt.Sprintf(secretConfig, "hunter2")))
	must(t, n.start("-v"))
	said := func(text string) {
		t.Helper()
		must(t, n.eventually(text, func() error { return n.expect("web log " + text) }))
	}
	said("24")
	n.tellsNothing(t)
	must(t, n.agent.Process.Kill())
	_ = n.agent.Wait()
	beside("hunter2-another-file")
	must(t, n.start("-v"))
	said("32")
	must(t, n.put("web.yaml", strings.ReplaceAll(fmt.Sprintf(secretConfig, "hunter2"), "text: hunter2-text", "txt: hunter2-text, text: 4711hunter2, base64: hunter2!")))
	must(t, n.eventually("a problem", func() error { return n.expectOutput("events: spec.files.text") }))
	n.tellsNothing(t)
	if found := n.holding(t, "run"); len(found) == 0 {
		t.Error("it is not in the run directory either: the test looks for the wrong thing")
	}
}

// tellsNothing looks for a secret wherever it must not be.
func (n *node) tellsNothing(t *testing.T) {
	t.Helper()
	if found := append(n.holding(t, "state"), n.holding(t, "log")...); len(found) > 0 {
		t.Errorf("it is in %v", found)
	}
	manifests := n.path("manifests")
	for _, args := range []string{
		"get -o json", "get -o wide", "get -o yaml", "describe web", "events", "events -o json", "plan", "plan -o json", "plan " + manifests, "plan -o json " + manifests,
		"diff " + manifests, "sources -o json", "validate " + manifests, "validate -o json " + manifests, "logs web", "ps web",
	} {
		cmd := exec.Command(binary, strings.Fields(args)...)
		cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+n.socket())
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if bytes.Contains(out, []byte("hunter2")) || len(out) == 0 {
			t.Errorf("%s says %s", args, out)
		}
	}
	if bytes.Contains(n.log.Bytes(), []byte("hunter2")) || n.log.Len() == 0 {
		t.Errorf("the agent's log says %s", n.log.String())
	}
	data, err := os.ReadFile(n.path("run/state/keeper.log"))
	if err == nil && bytes.Contains(data, []byte("hunter2")) {
		t.Errorf("the keeper's log says %s", data)
	}
}

// holding are the files below a folder of the node that hold a secret.
func (n *node) holding(t *testing.T, folder string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(n.path(folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("hunter2")) {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// A signal for a changed config comes, whenever the agent is killed in between: perhaps twice, never not at all.
func TestSignalSurvives(t *testing.T) {
	n := newNode(t)
	t.Cleanup(func() {
		for _, err := range n.dispose() {
			t.Error(err)
		}
	})
	const text = `apiVersion: reconciler/v1alpha1
kind: Config
metadata: {name: conf}
spec: {files: {round: {text: "%d"}}}
---
apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: web}
spec:
  rootfs: {path: /var/lib/reconciler-demo/rootfs}
  command: [sh, -c, "trap 'echo told $(cat /conf/round).' HUP; trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done"]
  configs: [{name: conf, path: /conf, onChange: Signal}]
`
	must(t, n.put("web.yaml", fmt.Sprintf(text, 0)))
	must(t, n.start())
	must(t, n.eventually("up", func() error { return n.expect("web log up") }))
	for round := 1; round <= 12; round++ {
		must(t, n.put("web.yaml", fmt.Sprintf(text, round)))
		time.Sleep(time.Duration(round) * 4 * time.Millisecond) // the write comes after some, the signal after others
		must(t, n.agent.Process.Kill())
		_ = n.agent.Wait()
		must(t, n.start())
		told := fmt.Sprintf("told %d.", round)
		must(t, n.eventually(told, func() error { return n.expect("web log " + told) }))
	}
	must(t, n.expect("web restarts 0"))
}
