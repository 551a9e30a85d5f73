package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the program that scripts run: RECONCILER_BINARY, or built by TestMain.
var binary = os.Getenv("RECONCILER_BINARY")

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if binary == "" {
			dir, err := os.MkdirTemp("", "reconciler-bin")
			if err != nil {
				panic(err)
			}
			defer os.RemoveAll(dir)
			binary = filepath.Join(dir, "reconciler")
			build := exec.Command("go", "build", "-o", binary, ".")
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				return 1
			}
		}
		return m.Run()
	}())
}

// TestScripts runs testdata/script: the verbs that need neither root nor an agent, as a user types them.
func TestScripts(t *testing.T) {
	noAgent := func(env *testscript.Env) string { return filepath.Join(env.WorkDir, "no-agent.sock") }
	testscript.Run(t, scripts("testdata/script", noAgent, commands{}))
}

// commands are what scripts know beside what testscript has.
type commands map[string]func(ts *testscript.TestScript, neg bool, args []string)

// scripts are those of a directory. Each has the program on its PATH, its agent at a socket, and knows exits beside the commands. Golden texts are
// rewritten with UPDATE_SCRIPTS=1.
func scripts(dir string, socket func(*testscript.Env) string, known commands) testscript.Params {
	known["exits"] = runExits
	return testscript.Params{
		Dir:           dir,
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+":"+os.Getenv("PATH"))
			env.Setenv("RECONCILER_SOCKET", socket(env))
			return nil
		},
		Cmds: known,
	}
}

// runExits is the script command `exits CODE COMMAND...`: it runs the command and checks its exit code; stdout and stderr are kept
// for later commands.
func runExits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%v exits with %d, want %s", args[1:], code, args[0])
	}
}
