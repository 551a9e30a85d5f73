package linux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Everything a container says, from its first byte to its last, and how it ended.
func ExampleContainer_Output() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	container, err := node.Run(ctx, node.Shell("hello", "echo hello; echo oh >&2; exit 3"))
	check(err)
	var complaints strings.Builder
	check(container.Output(ctx, os.Stdout, &complaints)) // returns at the end
	exit, err := container.Wait(ctx)
	check(err)
	fmt.Printf("%q, code %d\n", complaints.String(), exit.Code)
	// Output:
	// hello
	// "oh\n", code 3
}

// Output is kept by lines, with time and stream, over restarts of the container and of this program.
func ExampleContainer_Logs() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	container, err := node.Run(ctx, node.Shell("web", "echo listening; echo 'no such page' >&2; echo bye"))
	check(err)
	_, err = container.Wait(ctx)
	check(err)
	for line, err := range container.Logs(ctx, log.Options{Stream: log.Stderr}) {
		check(err)
		fmt.Printf("%s %d: %s\n", line.Stream, line.Run.Start, line.Text)
	}
	// Output:
	// stderr 1: no such page
}

// A further process in a running container, as os/exec would run it on the node.
func ExampleContainer_Do() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	container, err := node.Run(ctx, node.Shell("db", "exec sleep 1000"))
	check(err)
	exit, err := container.Do(ctx,
		spec.Exec{Command: []string{"wc", "-l"}, User: "daemon"},
		linux.Streams{In: strings.NewReader("one\ntwo\n"), Out: os.Stdout})
	check(err)
	fmt.Println("code", exit.Code)

	_, err = container.Do(ctx, spec.Exec{Command: []string{"wd-l"}}, linux.Streams{})
	fmt.Println(errors.Is(err, spec.ErrCommandNotFound))
	// Output:
	// 2
	// code 0
	// true
}

// A shell with a terminal of the container's own, which is resized while it runs.
func ExampleContainer_Exec_terminal() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	container, err := node.Run(ctx, node.Shell("db", "exec sleep 1000"))
	check(err)
	session, err := container.Exec(ctx, spec.Exec{
		Command: []string{"sh", "-c", "tty; stty size; read line; stty size; exit 4"},
		TTY:     true, Stdin: true, Size: spec.TerminalSize{Rows: 24, Columns: 80},
	})
	check(err)
	defer session.Close()
	shown := make([]byte, 100) // a command that shows a terminal copies all of it
	_, err = io.ReadAtLeast(session.Stdout(), shown, len("/dev/pts/0\r\n24 80\r\n"))
	check(err)
	check(session.Resize(spec.TerminalSize{Rows: 50, Columns: 132}))
	_, err = io.WriteString(session.Stdin(), "\n")
	check(err)
	rest, err := io.ReadAll(session.Stdout())
	check(err)
	exit, err := session.Wait(ctx)
	check(err)
	fmt.Println(strings.Fields(string(shown))[0], strings.Fields(string(rest)), exit.Code)
	// Output:
	// /dev/pts/0 [50 132] 4
}

// Limits are changed while the container runs; the process stays the same.
func ExampleContainer_Update() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	container, err := node.Run(ctx, node.Shell("web", "exec sleep 1000"))
	check(err)
	before, err := container.State(ctx)
	check(err)
	check(container.Update(ctx, func(s *spec.ContainerSpec) { s.Resources.Pids.Max = spec.NewLimit(100) }))
	after, err := container.State(ctx)
	check(err)
	stats, err := container.Stats(ctx)
	check(err)
	fmt.Println(before.Pid == after.Pid, stats.Pids.Max)
	// Output:
	// true 100
}

// A limit of memory, and who is told when a process exceeds it.
func ExampleContainer_Events() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	node := openMachine()
	defer node.Close()

	hog := node.Shell("hog", "read go; exec dd if=/dev/zero of=/dev/null bs=100M")
	hog.Spec.Stdin = true
	hog.Spec.Resources.Memory.Max = spec.NewLimit(16 << 20)
	container, err := node.Run(ctx, hog)
	check(err)
	events, err := container.Events(ctx)
	check(err)
	session, err := container.Attach(ctx)
	check(err)
	defer session.Close()
	_, err = io.WriteString(session.Stdin(), "go\n")
	check(err)
	for event := range events {
		if event.Kind == spec.EventOOM {
			fmt.Println(event.Name, event.Kind, event.Count)
			break
		}
	}
	exit, err := container.Wait(ctx)
	check(err)
	fmt.Println(exit.Reason, exit.Signal)
	// Output:
	// hog OOM 1
	// OOMKilled SIGKILL
}

// What kinds of error there are. Texts are for people; a program asks errors.Is and errors.AsType.
func ExampleNode_Run_errors() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	_, err := node.Load(ctx, "web")
	fmt.Println("nothing of that name:", errors.Is(err, fs.ErrNotExist))

	wrong := node.Shell("web", "true")
	wrong.Spec.Stop.Signal = "SIGTREM"
	_, err = node.Run(ctx, wrong)
	if problems, ok := errors.AsType[spec.Problems](err); ok {
		for _, p := range problems {
			fmt.Printf("%s: %s (%s)\n", p.Path, p.Message, p.Hint)
		}
	}

	much := node.Shell("much", "true")
	much.Spec.Resources.NetPrio.IfPrioMap = map[string]uint64{"lo": 5} // only cgroup v1 has it
	_, err = node.New(ctx, much)
	missing, ok := errors.AsType[*cgroup.ControllerError](err)
	fmt.Println("made, or this node lacks the controller:", err == nil || ok && missing.Controller == "net_prio" && errors.Is(err, errors.ErrUnsupported))

	nowhere := node.Shell("nowhere", "true")
	nowhere.Spec.WorkingDir = "/etc/passwd"
	_, err = node.Run(ctx, nowhere)
	if step, ok := errors.AsType[*process.Error](err); ok {
		fmt.Println(step.Step, step.Path, errors.Is(err, unix.ENOTDIR))
	}

	container, err := node.Run(ctx, node.Shell("web", "exec sleep 1000"))
	check(err)
	_, err = node.New(ctx, node.Shell("web", "true"))
	fmt.Println("the name is taken:", errors.Is(err, fs.ErrExist))
	check(container.Pause(ctx))
	_, err = container.Exec(ctx, spec.Exec{Command: []string{"true"}})
	fmt.Println("nothing runs in it:", errors.Is(err, spec.ErrNotRunning))
	// Output:
	// nothing of that name: true
	// spec.stop.signal: unknown signal "SIGTREM" (did you mean SIGTERM?)
	// made, or this node lacks the controller: true
	// enter working directory /etc/passwd true
	// the name is taken: true
	// nothing runs in it: true
}

// The words of a manifest are the words of the library: a file is a container, too.
func ExampleNode_Run_manifest() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	manifest := fmt.Sprintf(`
apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: web}
spec:
  rootfs: {path: %s}
  command: [sh, -c, 'echo $GREETING, $HOSTNAME']
  env: {GREETING: good day}
  resources: {memory: {max: 64Mi}}
`, node.Rootfs)
	documents, problems := spec.Decode("web.yaml", []byte(manifest))
	check(problems.Err())
	container, err := node.Run(ctx, documents[0].Container)
	check(err)
	var said bytes.Buffer
	check(container.Output(ctx, &said, nil))
	fmt.Print(said.String())
	// Output:
	// good day, web
}
