package linux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// start makes a container by its handle and starts it.
func (n *node) start(t testing.TB, c spec.Container) *linux.Container {
	t.Helper()
	made, err := n.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// wait waits for an end and compares its code.
func wait(t testing.TB, c *linux.Container, code int, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if exit, err := c.Wait(ctx); err != nil || exit.Code != code || exit.Reason != reason {
		t.Errorf("%s ended with %+v, %v; want %d, %s", c, exit, err, code, reason)
	}
}

// A program leads a container through its life and hears everything it says, without ever counting instances.
func TestContainer(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	c, err := n.New(ctx, n.container("web", `echo "to out"; echo "to err" >&2; printf 'no newline'; exit 3`))
	must(t, err)
	if _, err := c.Wait(ctx); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("Wait before any Start: %v", err)
	}
	if err := c.Output(ctx, nil, nil); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("Output before any Start: %v", err)
	}
	if state, err := c.State(ctx); err != nil || state.Phase != spec.InstanceCreated || c.String() != "web/1" {
		t.Errorf("%s: %+v, %v", c, state, err)
	}
	for range 2 { // each start has an output of its own
		must(t, c.Start(ctx))
		var stdout, stderr bytes.Buffer
		must(t, c.Output(ctx, &stdout, &stderr))
		wait(t, c, 3, spec.ExitError)
		if stdout.String() != "to out\nno newline" || stderr.String() != "to err\n" {
			t.Errorf("said %q and %q", &stdout, &stderr)
		}
	}
	var lines []string
	for line, err := range c.Logs(ctx, log.Options{Stream: log.Stderr}) {
		must(t, err)
		lines = append(lines, fmt.Sprintf("%d %s", line.Run.Start, line.Text))
	}
	if got := strings.Join(lines, ", "); got != "1 to err, 2 to err" {
		t.Errorf("the log has %q", got)
	}
	must(t, c.Destroy(ctx))
	must(t, c.Destroy(ctx))
	if _, err := c.State(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("State after Destroy: %v", err)
	}
	if err := c.Start(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start after Destroy: %v", err)
	}
}

// What no manifest may say, no program may either; it hears all problems at once, and a name is one container's.
func TestNewRefuses(t *testing.T) {
	n := open(t)
	wrong := n.container("web", "exit 0")
	wrong.Spec.Network.Mode = "Bridged"
	wrong.Spec.Rlimits = map[string]spec.Rlimit{"nofiles": {}}
	_, err := n.Run(t.Context(), wrong)
	problems, ok := errors.AsType[spec.Problems](err)
	if !errors.Is(err, fs.ErrInvalid) || !ok || len(problems) < 2 || problems[0].Path != "spec.network.mode" || strings.Contains(err.Error(), ":0:0") {
		t.Errorf("got %v", err)
	}
	missing := n.container("web", "")
	missing.Spec.Command = []string{"no-such-program"}
	if _, err := n.Run(t.Context(), missing); !errors.Is(err, spec.ErrCommandNotFound) {
		t.Errorf("without such a program: %v", err)
	}
	missing.Spec.Command = []string{"/etc/passwd"}
	if _, err := n.Run(t.Context(), missing); !errors.Is(err, spec.ErrCommandNotExecutable) {
		t.Errorf("with one that is none: %v", err)
	}
	if all, err := n.Containers(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("left %v, %v", all, err)
	}
	n.start(t, n.container("web", forever))
	if _, err := n.New(t.Context(), n.container("web", forever)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second of the name: %v", err)
	}
	if _, err := n.Load(t.Context(), "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown one: %v", err)
	}
}

// Whoever waits hears of the end: of a kill, a stop, a destruction; of a context, that it ended. The end of the keeper is not that of a container.
// Files that a start is given are the command's from descriptor 3 on, and nobody's in the next start.
func TestStartWith(t *testing.T) {
	n := open(t)
	c, err := n.New(t.Context(), n.container("web", `cat <&3; cat <&4; ls /proc/self/fd | wc -l`))
	must(t, err)
	var files []*os.File
	for _, text := range []string{"three ", "four\n"} {
		r, w, err := os.Pipe()
		must(t, err)
		_, err = w.WriteString(text)
		must(t, errors.Join(err, w.Close()))
		files = append(files, r)
	}
	for i, want := range []string{"three four\n6\n", "4\n"} {
		if i == 0 {
			must(t, c.StartWith(t.Context(), files...))
		} else {
			must(t, c.Start(t.Context()))
		}
		for _, f := range files {
			f.Close()
		}
		var stdout bytes.Buffer
		must(t, c.Output(t.Context(), &stdout, io.Discard))
		if stdout.String() != want {
			t.Errorf("start %d: it said %q, want %q", i, &stdout, want)
		}
	}
	must(t, c.Destroy(t.Context()))
}

func TestWait(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	c := n.start(t, n.container("web", forever))
	n.hear(t, "web", "up")
	enough := errors.New("enough")
	short, cancel := context.WithCancelCause(ctx)
	cancel(enough)
	if _, err := c.Wait(short); !errors.Is(err, enough) {
		t.Errorf("with an ended context: %v", err)
	}
	waits := make(chan spec.Exit, 3)
	for range cap(waits) {
		go func() {
			exit, err := c.Wait(ctx)
			if err != nil {
				t.Error(err)
			}
			waits <- exit
		}()
	}
	n.killKeeper(t)
	must(t, c.Signal(ctx, "SIGKILL"))
	for range cap(waits) {
		exit := <-waits
		lost := feature.PidfdExitInfo.Probe() != nil && exit.Reason == spec.ExitUnknown // the next keeper is not its parent
		if exit.Signal != "SIGKILL" && !lost {
			t.Errorf("heard of %+v", exit)
		}
	}
	must(t, c.Start(ctx))
	n.hear(t, "web", "up\nup")
	if exit, err := c.Stop(ctx); err != nil || exit.Reason != spec.ExitStopped {
		t.Errorf("Stop: %+v, %v", exit, err)
	}
	must(t, c.Start(ctx))
	gone := make(chan error)
	go func() {
		_, err := c.Wait(ctx)
		gone <- err
	}()
	must(t, c.Destroy(ctx))
	if err := <-gone; err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have seen the kill
		t.Errorf("destroyed meanwhile: %v", err)
	}
}

// The limits change in place, what is not live does not, and a wrong change changes nothing.
func TestContainerUpdate(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	c := n.start(t, n.container("web", forever))
	before, err := c.State(ctx)
	must(t, err)
	must(t, c.Update(ctx, func(s *spec.ContainerSpec) { s.Stop.Signal = "SIGUSR1" }))
	for _, wrong := range []func(*spec.ContainerSpec){
		func(s *spec.ContainerSpec) { s.Command = []string{"true"} },
		func(s *spec.ContainerSpec) { s.Stop.Signal = "SIGNOT" },
	} {
		if err := c.Update(ctx, wrong); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	after, err := c.State(ctx)
	must(t, err)
	if after.Pid != before.Pid || after.Spec.Spec.Stop.Signal != "SIGUSR1" || after.Spec.Spec.Command[0] != "/bin/sh" {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if feature.Pids.Probe() == nil {
		must(t, c.Update(ctx, func(s *spec.ContainerSpec) { s.Resources.Pids.Max = spec.NewLimit(77) }))
		if stats, err := c.Stats(ctx); err != nil || stats.Pids.Max != spec.NewLimit(77) {
			t.Errorf("%+v, %v", stats.Pids, err)
		}
	}
}

// A further process takes input from a reader and gives its output to writers; a code is no error, and the end of the context is its end.
func TestDo(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	c := n.start(t, n.container("web", forever))
	var stdout, stderr bytes.Buffer
	exit, err := c.Do(ctx, spec.Exec{Command: []string{"/bin/sh", "-c", "cat; echo err >&2; exit 7"}},
		linux.Streams{In: strings.NewReader(strings.Repeat("line\n", 50_000)), Out: &stdout, Err: &stderr})
	if err != nil || exit.Code != 7 || stdout.Len() != 250_000 || stderr.String() != "err\n" {
		t.Errorf("%+v, %v, %d bytes, %q", exit, err, stdout.Len(), &stderr)
	}
	if exit, err := c.Do(ctx, spec.Exec{Command: []string{"true"}}, linux.Streams{}); err != nil || exit.Code != 0 {
		t.Errorf("without streams: %+v, %v", exit, err)
	}
	if _, err := c.Do(ctx, spec.Exec{Command: []string{"nothing-of-the-kind"}}, linux.Streams{}); !errors.Is(err, spec.ErrCommandNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Do(ctx, spec.Exec{}, linux.Streams{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	blocked, unblock := io.Pipe() // a reader that nothing comes from does not keep Do
	if exit, err := c.Do(ctx, spec.Exec{Command: []string{"true"}}, linux.Streams{In: blocked}); err != nil || exit.Code != 0 {
		t.Errorf("with a silent reader: %+v, %v", exit, err)
	}
	must(t, unblock.Close())
	enough := errors.New("enough")
	short, cancel := context.WithCancelCause(ctx)
	r, w := io.Pipe()
	go func() {
		if _, err := r.Read(make([]byte, 10)); err != nil {
			t.Error(err)
		}
		cancel(enough)
	}()
	if _, err := c.Do(short, spec.Exec{Command: []string{"/bin/sh", "-c", "echo here; sleep 1000"}}, linux.Streams{Out: w}); !errors.Is(err, enough) {
		t.Errorf("with an ended context: %v", err)
	}
	closed := r.CloseWithError(enough)
	if _, err := c.Do(ctx, spec.Exec{Command: []string{"yes"}}, linux.Streams{Out: w}); closed != nil || !errors.Is(err, enough) {
		t.Errorf("with a writer that takes nothing: %v, %v", err, closed)
	}
}

// A program's own reader and writers are the container's, from the first byte to the last, though it began before anybody followed.
func TestFollow(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	web := n.container("web", `echo early; while read line; do [ "$line" = end ] && exit 9; echo "got $line"; echo "err $line" >&2; done`)
	web.Spec.Stdin = true
	c, err := n.New(ctx, web)
	must(t, err)
	if _, err := c.Follow(ctx, linux.Streams{}); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("before any Start: %v", err)
	}
	for _, said := range []string{"one", "two"} {
		must(t, c.Start(ctx))
		n.hear(t, "web", "early")
		enough := errors.New("enough")
		short, cancel := context.WithCancelCause(ctx)
		cancel(enough)
		if _, err := c.Follow(short, linux.Streams{In: strings.NewReader("")}); !errors.Is(err, enough) {
			t.Errorf("with an ended context: %v", err)
		}
		var stdout, stderr bytes.Buffer
		exit, err := c.Follow(ctx, linux.Streams{In: strings.NewReader(said + "\nend\n"), Out: &stdout, Err: &stderr})
		if err != nil || exit.Code != 9 || stdout.String() != "early\ngot "+said+"\n" || stderr.String() != "err "+said+"\n" {
			t.Errorf("%+v, %v, %q, %q", exit, err, &stdout, &stderr)
		}
	}
	silent, unblock := io.Pipe() // neither a reader that gives nothing nor a process that takes nothing keeps it
	defer unblock.Close()
	var again bytes.Buffer
	exit, err := c.Follow(ctx, linux.Streams{In: silent, Out: &again})
	if err != nil || exit.Code != 9 || again.String() != "early\ngot two\n" {
		t.Errorf("after the end: %+v, %v, %q", exit, err, &again)
	}
	if err := c.Pause(ctx); !errors.Is(err, spec.ErrNotRunning) {
		t.Errorf("Pause after the end: %v", err)
	}
	deaf := n.start(t, n.container("deaf", "sleep 0.1"))
	if exit, err := deaf.Follow(ctx, linux.Streams{In: silent}); err != nil || exit.Code != 0 {
		t.Errorf("of one without input: %+v, %v", exit, err)
	}
}

// What Open cannot do is told apart: what is not said, and what is another process's.
func TestOpenRefuses(t *testing.T) {
	n := open(t)
	for name, cfg := range map[string]linux.Config{
		"nothing":   {},
		"no parent": {RunDir: n.path("run2"), StateDir: n.path("state2"), LogDir: n.path("log2")},
	} {
		if _, err := linux.Open(t.Context(), cfg); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := n.config
	other.RunDir, other.StateDir, other.LogDir = n.path("run2"), n.path("state2"), n.path("log2")
	for what, cfg := range map[string]linux.Config{"directories": n.config, "cgroup parent": other} {
		if _, err := linux.Open(t.Context(), cfg); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("the same %s: %v", what, err)
		}
	}
}

// An agent that was killed does not keep out the next one for as long as a child of it has its files.
func TestOpenWaitsForDead(t *testing.T) {
	n := open(t)
	must(t, n.Close())
	lock, err := os.OpenFile(n.path("state/agent.lock"), os.O_RDWR, 0)
	must(t, err)
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	dead := exec.Command("true")
	must(t, dead.Run())
	must(t, lock.Truncate(0))
	_, err = fmt.Fprint(lock, dead.Process.Pid)
	must(t, err)
	child := exec.Command("sleep", "0.2")
	child.ExtraFiles = []*os.File{lock}
	must(t, child.Start())
	must(t, lock.Close())
	n.Node, err = linux.Open(t.Context(), n.config)
	must(t, errors.Join(err, child.Wait()))
}

// A program may have several nodes; each has containers of its own, also of the same name.
func TestNodes(t *testing.T) {
	var all sync.WaitGroup
	for _, said := range []string{"one", "two"} {
		n := open(t)
		c := n.start(t, n.container("web", "echo "+said))
		all.Go(func() {
			var out bytes.Buffer
			if exit, err := c.Follow(t.Context(), linux.Streams{Out: &out}); err != nil || exit.Code != 0 || out.String() != said+"\n" {
				t.Errorf("%s: %+v, %v, %q", said, exit, err, &out)
			}
		})
	}
	all.Wait()
}

// Many goroutines lead many containers at once, and one container's verbs from many goroutines do not disturb each other.
func TestContainersInParallel(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprintf("web%d", i)
			c, err := n.Run(ctx, n.container(name, "echo "+name+"; exit 4"))
			if err != nil {
				t.Error(err)
				return
			}
			var out bytes.Buffer
			if err := c.Output(ctx, &out, nil); err != nil || out.String() != name+"\n" {
				t.Errorf("%s said %q, %v", name, &out, err)
			}
			wait(t, c, 4, spec.ExitError)
			if err := c.Destroy(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c := n.start(t, n.container("one", forever))
	made := 0
	var lock sync.Mutex
	for range 8 {
		all.Go(func() {
			for _, verb := range []func(context.Context) error{c.Start, c.Pause, c.Resume, c.Start} {
				if err := verb(ctx); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			if _, err := n.Run(ctx, n.container("two", forever)); err == nil {
				lock.Lock()
				made++
				lock.Unlock()
			} else if !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if state, err := c.State(ctx); err != nil || state.Phase != spec.InstanceRunning || state.Starts != 1 || made != 1 {
		t.Errorf("%+v, %v; %d of the same name were made", state, err, made)
	}
}

// A program that is started anew finds what it had: the container, what it says, and how it ends.
func TestLoad(t *testing.T) {
	n := open(t)
	ctx := t.Context()
	n.start(t, n.writable("web", `echo before; while [ ! -e /tmp/on ]; do sleep 0.01; done; echo after; exit 6`, spec.Writable{}))
	n.start(t, n.container("other", "exit 0"))
	n.hear(t, "web", "before")
	n.reopen(t)
	all, err := n.Containers(ctx)
	if err != nil || fmt.Sprint(all) != "[other/1 web/1]" {
		t.Errorf("found %v, %v", all, err)
	}
	c, err := n.Load(ctx, "web")
	must(t, err)
	if exit, err := c.Do(ctx, spec.Exec{Command: []string{"touch", "/tmp/on"}}, linux.Streams{}); err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
	var out bytes.Buffer
	must(t, c.Output(ctx, &out, nil))
	wait(t, c, 6, spec.ExitError)
	if out.String() != "before\nafter\n" {
		t.Errorf("said %q", &out)
	}
}
