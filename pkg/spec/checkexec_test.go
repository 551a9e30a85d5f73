package spec_test

import (
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestExecCheck(t *testing.T) {
	ls := []string{"ls"}
	for _, test := range []struct {
		want string
		exec spec.Exec
	}{
		{"", spec.Exec{Command: []string{"sh", "-c", "echo\n\ttwo lines", ""}, User: "1000:tty", WorkingDir: "/srv", Env: map[string]string{"A": ""}, Stdin: true, TTY: true}},
		{"command: names no program", spec.Exec{}},
		{"command: names no program", spec.Exec{Command: []string{"", "a"}}},
		{"command: more than", spec.Exec{Command: append(ls, make([]string, 100_000)...)}},
		{"command: ", spec.Exec{Command: []string{"ls", "a\x00b"}}},
		{"env: ", spec.Exec{Command: ls, Env: map[string]string{"A=B": "c"}}},
		{"env.A: ", spec.Exec{Command: ls, Env: map[string]string{"A": "\x00"}}},
		{"user: ", spec.Exec{Command: ls, User: "-1"}},
		{"user: ", spec.Exec{Command: ls, User: "a:b:c"}},
		{"workingDir: ", spec.Exec{Command: ls, WorkingDir: "srv"}},
		{"capabilities.add: ", spec.Exec{Command: ls, Capabilities: spec.Capabilities{Add: []string{"FLY"}}}},
		{"\nhint: write NET_RAW", spec.Exec{Command: ls, Capabilities: spec.Capabilities{Drop: []string{"CAP_NET_RAW"}}}},
		{"detach: ", spec.Exec{Command: ls, Detach: true, TTY: true}},
		{"detach: ", spec.Exec{Command: ls, Detach: true, Stdin: true}},
	} {
		err := test.exec.Check()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}
