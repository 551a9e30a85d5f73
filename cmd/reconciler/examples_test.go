package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// examples are the folders below examples/.
func examples(t *testing.T) []string {
	t.Helper()
	readmes, err := filepath.Glob("../../examples/*/README.md")
	if err != nil || len(readmes) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for i := range readmes {
		readmes[i] = filepath.Dir(readmes[i])
	}
	return readmes
}

func TestExamplesAreValid(t *testing.T) {
	for _, dir := range append(examples(t), "../../manifests") {
		m, err := load(manifestFiles(t, dir), nil, nil)
		if err != nil || len(m.problems) > 0 || len(m.documents) == 0 {
			t.Errorf("%s: %d documents, %v, %v", dir, len(m.documents), m.problems, err)
		}
	}
	list, err := os.ReadFile("../../examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range examples(t) {
		if name := filepath.Base(dir); !strings.Contains(string(list), "["+name+"]("+name+")") {
			t.Errorf("examples/README.md does not name %s", name)
		}
	}
}

func manifestFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests in %s: %v", dir, err)
	}
	return files
}

// TestExamples converges on each example and checks each line of its file expect: NAME phase PHASE, NAME exit CODE, NAME
// restarts COUNT, NAME log TEXT, NAME exec COMMAND: OUTPUT, NAME attach INPUT: OUTPUT, NAME reconciler ARGUMENTS: OUTPUT. A file needs names
// features of a node without which there is nothing to see.
func TestExamples(t *testing.T) {
	n := newNode(t)
	t.Cleanup(func() {
		for _, err := range n.dispose() {
			t.Error(err)
		}
	})
	for _, dir := range examples(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) { n.example(t, dir) })
	}
}

func (n *node) example(t *testing.T, dir string) {
	expect, err := os.ReadFile(filepath.Join(dir, "expect"))
	must(t, err)
	beside, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	must(t, err)
	for _, file := range append(beside, manifestFiles(t, dir)...) {
		text, err := os.ReadFile(file)
		must(t, err)
		must(t, n.put(filepath.Base(file), string(text)))
	}
	defer n.clear(t)
	err = n.once()
	if failing := strings.Contains(string(expect), "phase BackOff"); failing != (err != nil) {
		t.Errorf("run --once: expected to fail: %t; got %v", failing, err)
	}
	must(t, n.start())
	if needs, err := os.ReadFile(filepath.Join(dir, "needs")); err == nil {
		for feature := range strings.FieldsSeq(string(needs)) {
			if lack := n.lack(feature); lack != "" {
				t.Skip(lack)
			}
		}
	}
	for line := range strings.Lines(string(expect)) {
		line = strings.TrimSuffix(line, "\n")
		if err := n.eventually(line, func() error { return n.expect(line) }); err != nil {
			t.Error(err)
		}
	}
}

// expect checks one line of an example's file expect.
func (n *node) expect(line string) error {
	words := strings.SplitN(line, " ", 3)
	if len(words) != 3 {
		return fmt.Errorf("want NAME WHAT VALUE")
	}
	name, what, want := words[0], words[1], words[2]
	switch what {
	case "log":
		return n.expectLog(name, want)
	case "reconciler":
		return n.expectOutput(want)
	case "exec", "attach":
		return n.expectSession(name, what, want)
	}
	o, err := client.New(n.socket()).Get(context.Background(), name)
	if err != nil {
		return err
	}
	if got := observed(o, what); got != want {
		return fmt.Errorf("got %q, status %+v", got, o.Status)
	}
	return nil
}

func observed(o spec.Object, what string) string {
	switch what {
	case "phase":
		return string(o.Status.Phase)
	case "restarts":
		return strconv.Itoa(o.Status.Container.RestartCount)
	case "exit":
		if o.Status.Container.LastExit != nil {
			return strconv.Itoa(o.Status.Container.LastExit.Code)
		}
	}
	return "nothing"
}

func (n *node) expectLog(name, want string) error {
	body, err := client.New(n.socket()).Logs(context.Background(), name, api.LogOptions{Tail: -1})
	if err != nil {
		return err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err == nil && !strings.Contains(string(text), want) {
		err = fmt.Errorf("the log is %q", text)
	}
	return err
}

// expectSession runs a command in a container, or attaches to it with a line of input, and looks for the output or the error.
func (n *node) expectSession(name, what, want string) error {
	given, want, _ := strings.Cut(want, ": ")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "exec", name, "sh", "-c", given)
	var out sight
	if what == "attach" {
		cmd = exec.CommandContext(ctx, binary, "attach", name) // which goes on after its input
		cmd.Stdin = strings.NewReader(given + "\n")
		out = sight{text: want, then: cancel}
	}
	cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+n.socket())
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if strings.Contains(out.seen.String(), want) || err != nil && err.Error() == want {
		return nil
	}
	return fmt.Errorf("%s gives %q, %v", what, out.seen.String(), err)
}

// expectOutput runs a verb and looks for its output.
func (n *node) expectOutput(what string) error {
	args, want, _ := strings.Cut(what, ": ")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, strings.Fields(args)...)
	cmd.Env = append(os.Environ(), "RECONCILER_SOCKET="+n.socket())
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), want) {
		err = errors.New("not seen")
	}
	if err != nil {
		err = fmt.Errorf("%w in %q", err, out)
	}
	return err
}

// lack is why the node that the agent runs cannot do something, as the text of a skip; "" if it can.
func (n *node) lack(feature string) string {
	features, err := client.New(n.socket()).Features(context.Background())
	if err != nil {
		return "skip: needs " + feature + ": " + err.Error()
	}
	for _, f := range features {
		if f.Name == feature && f.Error == "" {
			return ""
		} else if f.Name == feature {
			return "skip: needs " + feature + ": " + f.Error
		}
	}
	return "skip: needs " + feature + ": the agent knows nothing of it"
}

// sight keeps output, and does something when a text is in it.
type sight struct {
	seen strings.Builder
	text string
	then func()
}

func (s *sight) Write(p []byte) (int, error) {
	s.seen.Write(p)
	if s.then != nil && strings.Contains(s.seen.String(), s.text) {
		s.then()
	}
	return len(p), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
