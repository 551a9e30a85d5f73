package machine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
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

// killedAgent has an agent do something in the place of the test's own, and kills it at a time after it has begun. It tells whether it had ended before.
func (n *node) killedAgent(e errand, after time.Duration) (isDone bool) {
	n.t.Helper()
	must(n.t, n.Close())
	n.Node = nil
	defer n.reopen()
	e.Run, e.State, e.Log, e.Parent, e.CRIU = n.config.RunDir, n.config.StateDir, n.config.LogDir, n.config.CgroupParent, n.config.CRIU
	text, err := json.Marshal(e)
	must(n.t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), agentEnv+"="+string(text))
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

// dialAnew replaces streams that were reset: what is restored and not yet claimed ends with its agent, and if its network was let in already, the peer is told.
// docs/checkpoint.md says so. Bytes are lost and doubled in no moment.
func (n *node) dialAnew(streams map[string]*stream, ways map[string]string) (reset bool) {
	time.Sleep(100 * time.Millisecond) // what was reset says so by now
	for from, s := range streams {
		switch err := s.failed(); {
		case err == nil:
		case errors.As(err, new(syscall.Errno)) || errors.Unwrap(err) == nil:
			reset = true
			must(n.t, s.conn.Close())
			streams[from] = dial(n.t.(*testing.T), nil, ways[from])
		default:
			n.t.Errorf("the stream of %s: %v", from, err)
		}
	}
	return reset
}

// A peer sends numbers all the time while agents are killed that save and restore the server at its other end: none is lost, and none comes twice.
func TestStreamAndKilledAgents(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		address := n.server(spec.UserHost)
		took := time.Duration(n.warm("web").Took)
		ways := map[string]string{"the node": address + ":7", "a published port": "127.0.0.1:18007"}
		streams := map[string]*stream{}
		for from, way := range ways {
			streams[from] = dial(t, nil, way)
		}
		n.goOn(streams, 100, "the start")
		killed, reset := 0, 0
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
			if e.Image != "" && n.dialAnew(streams, ways) {
				reset++
			}
			n.goOn(streams, 100, what)
			n.nothingHalf(what, state{names: []string{"web"}})
		}
		t.Logf("%d agents were killed; %d times connections were reset", killed, reset)
		if reset > 2 && reset > killed/10 {
			t.Errorf("connections were reset %d times, more than in the one moment of a restore in which that cannot be helped yet", reset)
		}
		n.endStreams(streams)
		n.finish("web")
	})
}
