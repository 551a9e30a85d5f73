package machine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// agentEnv makes the test binary an agent that does one thing with the container web; it holds an errand as JSON.
const agentEnv = "RECONCILER_TEST_AGENT"

// errand is what such an agent does: restores from an image, or takes one.
type errand struct {
	Run, State, Log, Parent, CRIU string
	Image                         string
	Stop                          bool
}

func init() {
	if text := os.Getenv(agentEnv); text != "" && len(os.Args) == 1 {
		keeper.Hook()
		criu.Hook()
		if err := agent(text); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func agent(text string) error {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	runtime.LockOSThread() // whose calls are to be counted
	ctx := context.Background()
	var config machine.Config
	config.RunDir, config.StateDir, config.LogDir, config.CgroupParent, config.CRIU = e.Run, e.State, e.Log, e.Parent, e.CRIU
	n, err := machine.Open(ctx, config)
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println("begins")
	if e.Image != "" {
		return n.Restore(ctx, "web", 1, e.Image)
	}
	_, err = n.Checkpoint(ctx, "web", 1, spec.CheckpointOptions{Stop: e.Stop})
	return err
}

// agent is the command of one that takes the place of the test's own, which a reopen brings back.
func (n *node) agent(e errand, tracer ...string) *exec.Cmd {
	n.t.Helper()
	must(n.t, n.Close())
	n.Node = nil
	e.Run, e.State, e.Log, e.Parent, e.CRIU = n.config.RunDir, n.config.StateDir, n.config.LogDir, n.config.CgroupParent, n.config.CRIU
	text, err := json.Marshal(e)
	must(n.t, err)
	exe, err := os.Executable()
	must(n.t, err)
	argv := append(tracer, exe)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), agentEnv+"="+string(text))
	return cmd
}

// killedAgent has an agent do something in the place of the test's own, and kills it at a time after it has begun. It tells whether it had ended before.
func (n *node) killedAgent(e errand, after time.Duration) (isDone bool) {
	n.t.Helper()
	cmd := n.agent(e)
	defer n.reopen()
	out, err := cmd.StdoutPipe()
	must(n.t, err)
	must(n.t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "begins" {
		n.t.Errorf("the agent says %q", lines.Text())
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	for lines.Scan() {
		n.t.Logf("the agent says %q", lines.Text())
	}
	return cmd.Wait() == nil
}

// A peer sends numbers all the time while agents are killed that save and restore the server at its other end: none is lost, and none comes twice.
func TestStreamAndKilledAgents(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		address := n.server(spec.UserHost)
		took := time.Duration(n.warm("web").Took)
		streams := map[string]*stream{"the node": dial(t, nil, address+":7"), "a published port": dial(t, nil, "127.0.0.1:18007")}
		n.goOn(streams, 100, "the start")
		killed := 0
		for i, after := range moments(9, 200, 2*took) {
			e := errand{Stop: i%3 == 1}
			what := fmt.Sprintf("an agent that was killed %v after it began to take an image (that ends it: %v)", after, e.Stop)
			if i%3 == 2 {
				e.Image = n.checkpoint("web", spec.CheckpointOptions{Stop: true}).Ref()
				n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
				what = fmt.Sprintf("an agent that was killed %v after it began to restore it", after)
			}
			if !n.killedAgent(e, after) {
				killed++
			}
			in := n.look("web")
			switch {
			case in.Phase == spec.InstanceExited && in.Exit.Reason == spec.ExitCheckpointed:
				images, err := n.Images(t.Context(), "web")
				must(t, err)
				n.restore("web", images[len(images)-1].Ref())
			case in.Phase != spec.InstanceRunning:
				t.Fatalf("after %s: %s, %+v", what, in.Phase, in.Exit)
			}
			n.goOn(streams, 100, what)
			n.nothingHalf(what, state{names: []string{"web"}})
		}
		t.Logf("%d agents were killed", killed)
		n.endStreams(streams)
		n.finish("web")
	})
}

// tracedAgent runs an agent under strace.
func (n *node) tracedAgent(e errand, inject ...string) (trace string) {
	n.t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		n.t.Skip("skip: needs strace")
	}
	file := n.path("trace")
	cmd := n.agent(e, append([]string{strace, "-f", "-qq", "-s", "256", "-o", file}, inject...)...)
	defer n.reopen()
	if out, err := cmd.CombinedOutput(); err != nil && len(inject) == 0 {
		n.t.Fatalf("the agent failed: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	must(n.t, err)
	must(n.t, os.Remove(file))
	return string(text)
}

// lastCalls are the calls of a traced restore from when criu asks for the last time whether it may go on, as strace's inject wants them: the n-th call of a name in its thread.
// Without time for all they are those by which it talks with criu and the keeper.
func lastCalls(trace string) (points []string) {
	begin := strings.LastIndexByte(trace[:max(0, strings.Index(trace, "post-restore"))], '\n') + 1
	thread, _, _ := strings.Cut(trace[begin:], " ")
	counts, at := map[string]int{}, 0
	for line := range strings.Lines(trace) {
		isLast := at > begin
		at += len(line)
		who, rest, _ := strings.Cut(line, " ")
		call, _, isCall := strings.Cut(strings.TrimSpace(rest), "(")
		if who != thread || !isCall || strings.ContainsAny(call, " <+-=") || call == "exit_group" {
			continue
		}
		counts[call]++
		if isLast && (soak || slices.Contains([]string{"write", "writev", "recvmsg", "read"}, call)) {
			points = append(points, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, counts[call]))
		}
	}
	return points
}

// killedAtTheEnd kills agents that restore the server at each of the calls that they make from the moment on in which criu asks whether the restored may run, or some of
// them. Before each saved gives an image, and after each the next agent sees whether all is well.
func (n *node) killedAtTheEnd(few int, saved func() (ref string), after func(what, ref string)) {
	n.t.Helper()
	ref := saved()
	points := lastCalls(n.tracedAgent(errand{Image: ref}))
	after("an agent that nobody killed", ref)
	tried, kills := 0, 0
	for i := 0; i < len(points); i += max(len(points)/sample(few, len(points)), 1) {
		point := points[i]
		ref := saved()
		if tried++; strings.Contains(n.tracedAgent(errand{Image: ref}, "-e", "inject="+point), "+++ killed by SIGKILL") {
			kills++
		}
		what := "an agent that was killed at " + point
		after(what, ref)
		n.nothingHalf(what, state{names: []string{"web"}})
	}
	n.t.Logf("%d of %d points tried, %d kills", tried, len(points), kills)
	if kills < few/2 {
		n.t.Error("too few kills")
	}
}

// endedServer takes an image of the server that ends it.
func (n *node) endedServer() (ref string) {
	n.t.Helper()
	ref = n.checkpoint("web", spec.CheckpointOptions{Stop: true}).Ref()
	n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
	return ref
}

// Whenever an agent is killed that restores, the container is as it was before, or runs, and with it its connections.
func TestAgentKilledAtTheEndOfARestore(t *testing.T) {
	for name, change := range map[string]func(*spec.ContainerSpec){
		"at once": func(*spec.ContainerSpec) {},
		"lazily": func(s *spec.ContainerSpec) {
			s.Checkpoint.Lazy = true
			s.Command = append([]string{"/bin/sh", "-c", `/bin/subject heap=48 >/dev/null & exec "$@"`, "sh"}, s.Command...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ownNetwork(t, func(t *testing.T) {
				n := open(t)
				streams := map[string]*stream{"the node": dial(t, nil, n.server(spec.UserHost, change)+":7")}
				n.warm("web")
				n.killedAtTheEnd(10, n.endedServer, func(what, ref string) {
					if n.look("web").Phase != spec.InstanceRunning {
						n.restore("web", ref)
					}
					n.goOn(streams, 100, what)
					if _, err := os.Stat(n.path("run", "state", "web", "1", "criu", criu.LazyLog)); (err == nil) != (name == "lazily") {
						t.Errorf("after %s: what brings memory has a log: %v", what, err)
					}
				})
				n.endStreams(streams)
				n.finish("web")
			})
		})
	}
}

// Likewise when the image is not the one that the container ended in, for which packets are kept out as well: if it runs they come in.
func TestAgentKilledAtTheEndOfAnotherRestore(t *testing.T) {
	for name, isConnected := range map[string]bool{"without a connection": false, "with a connection": true} {
		t.Run(name, func(t *testing.T) {
			ownNetwork(t, func(t *testing.T) {
				n := open(t)
				address := n.server(spec.UserHost)
				connected := func() *stream {
					s := dial(t, nil, address+":7")
					n.goOn(map[string]*stream{"the node": s}, 100, "a start")
					return s
				}
				n.warm("web")
				var s *stream
				if isConnected {
					s = connected()
				}
				first := n.checkpoint("web", spec.CheckpointOptions{Keep: true}).Ref()
				n.killedAtTheEnd(6, func() string {
					if s == nil {
						s = connected()
					}
					n.endedServer()
					must(t, s.conn.Close())
					s = nil
					return first
				}, func(what, ref string) {
					if n.look("web").Phase != spec.InstanceRunning {
						n.restore("web", ref)
					}
					if locks := n.locks(); len(locks) > 0 {
						t.Errorf("after %s: %q", what, locks)
					}
				})
				n.finish("web")
			})
		})
	}
}
