package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// layered are manifests of containers in layers, each of which depends on two of the layer before; with flat on none.
func layered(layers, width int, flat bool) string {
	var b strings.Builder
	for layer := range layers {
		for i := range width {
			more := "  stop: {timeout: 1s}\n"
			if layer > 0 && !flat {
				more += fmt.Sprintf("  dependsOn: [{name: %s}, {name: %s}]\n", layeredName(layer-1, i), layeredName(layer-1, (i+1)%width))
			}
			b.WriteString("---\n" + manifest(layeredName(layer, i), "exec sleep 100000", more))
		}
	}
	return b.String()
}

func layeredName(layer, i int) string { return fmt.Sprintf("l%d-%d", layer, i) }

// list are all containers of the node.
func (n *node) list() (items []spec.Object, err error) {
	data, err := n.request("GET", "/v1/containers")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []spec.Object }
	return list.Items, json.Unmarshal(data, &list)
}

// allReady waits until so many containers are ready, and gives when the last of them started.
func (n *node) allReady(count int) (last time.Time) {
	n.t.Helper()
	n.eventually(fmt.Sprintf("%d are ready", count), func() error {
		time.Sleep(200 * time.Millisecond) // asking costs as well
		items, err := n.list()
		ready := 0
		for _, o := range items {
			if o.Status.Container.Ready {
				ready++
			}
			if o.Status.Container.StartedAt.After(last) {
				last = o.Status.Container.StartedAt
			}
		}
		if err == nil && ready != count {
			err = fmt.Errorf("%d are", ready)
		}
		return err
	})
	return last
}

// inOrder checks that each container started after those that it depends on.
func (n *node) inOrder() {
	n.t.Helper()
	items, err := n.list()
	if err != nil {
		n.t.Fatal(err)
	}
	started := map[string]time.Time{}
	for _, o := range items {
		started[o.Metadata.Name] = o.Status.Container.StartedAt
	}
	for _, o := range items {
		for _, d := range o.Spec.DependsOn {
			if started[o.Metadata.Name].Before(started[d.Name]) {
				n.t.Errorf("%s started at %v, before %s, at %v", o.Metadata.Name, started[o.Metadata.Name], d.Name, started[d.Name])
			}
		}
	}
}

// A directory starts along its graph.
func TestStartOrder(t *testing.T) {
	n := newNode(t)
	n.put("all.yaml", layered(5, 4, false))
	n.start()
	n.allReady(20)
	n.inOrder()
}

// No process stands beside a container: the keeper has as many children as there are containers, and the agent none but the keeper that it has started.
func TestNoHelpers(t *testing.T) {
	n := newNode(t)
	n.put("all.yaml", layered(1, 10, true))
	n.start()
	n.allReady(10)
	if kept, own := children(n.keepers()[0]), children(n.agent.Process.Pid); kept != 10 || own != 1 {
		t.Errorf("the keeper has %d children, the agent %d", kept, own)
	}
}

// BenchmarkOrder starts 1,000 containers in ten layers, and the same without dependencies: the ideal schedule of a node that has that much to do anyway.
func BenchmarkOrder(b *testing.B) {
	var flat time.Duration
	for _, name := range []string{"flat", "layered"} {
		b.Run(name, func(b *testing.B) {
			n := newNode(b)
			n.put("all.yaml", layered(10, 100, name == "flat"))
			began := time.Now()
			n.start()
			took := n.allReady(1000).Sub(began)
			n.inOrder()
			b.ReportMetric(took.Seconds(), "s")
			if name == "flat" {
				flat = took
				return
			}
			b.ReportMetric(took.Seconds()/flat.Seconds(), "x-ideal")
		})
	}
}

// BenchmarkCrashLoops measures an agent with 500 containers that end as soon as they start.
func BenchmarkCrashLoops(b *testing.B) {
	n := newNode(b)
	var all strings.Builder
	for i := range 500 {
		all.WriteString("---\n" + manifest(fmt.Sprintf("crash-%d", i), "exit 1"))
	}
	n.put("all.yaml", all.String())
	n.start()
	time.Sleep(100 * time.Second) // until the waits are near their longest
	const window = 60 * time.Second
	agent, keeper := n.agent.Process.Pid, n.keepers()[0]
	lines := n.agentLines()
	before := [2]usage{usageOf(b, agent), usageOf(b, keeper)}
	time.Sleep(window)
	after := [2]usage{usageOf(b, agent), usageOf(b, keeper)}
	b.ReportMetric(100*(after[0].cpu-before[0].cpu).Seconds()/window.Seconds(), "%cpu-agent")
	b.ReportMetric(100*(after[1].cpu-before[1].cpu).Seconds()/window.Seconds(), "%cpu-keeper")
	b.ReportMetric(float64(n.agentLines()-lines)/window.Seconds(), "lines/s")
}

// agentLines is how many lines the agent has logged.
func (n *node) agentLines() int {
	text, _ := os.ReadFile(n.path("agent.log"))
	return bytes.Count(text, []byte("\n"))
}

// BenchmarkProbed measures what a probe of 500 containers costs beside a curl for each.
func BenchmarkProbed(b *testing.B) {
	if _, err := exec.LookPath("curl"); err != nil {
		b.Skip("curl is not installed")
	}
	n := newNode(b)
	const count = 500
	var all strings.Builder
	for i := range count {
		all.WriteString("---\n" + manifest(fmt.Sprintf("probed-%d", i), "mkdir /tmp/www; echo ok >/tmp/www/ok; exec httpd -f -p 8080 -h /tmp/www",
			"  mounts: [{type: tmpfs, destination: /tmp}]\n  stop: {timeout: 1s}\n  probes: {readiness: {http: {port: 8080, path: /ok}, period: 2s}}\n"))
	}
	n.put("all.yaml", all.String())
	n.start()
	n.allReady(count)
	time.Sleep(5 * time.Second)
	const window = 20 * time.Second
	pid := n.agent.Process.Pid
	before := usageOf(b, pid)
	time.Sleep(window)
	perProbe := (usageOf(b, pid).cpu - before.cpu).Seconds() / (count * window.Seconds() / 2)
	items, err := n.list()
	if err != nil {
		b.Fatal(err)
	}
	const asks = 100
	curl := exec.Command("nsenter", "-t", fmt.Sprint(items[0].Status.Container.Pid), "-n", "sh", "-c",
		fmt.Sprintf("for i in $(seq %d); do curl -sf -o /dev/null http://127.0.0.1:8080/ok || exit 1; done", asks))
	if out, err := curl.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	perCurl := (curl.ProcessState.UserTime() + curl.ProcessState.SystemTime()).Seconds() / asks
	b.ReportMetric(1e6*perProbe, "us/probe")
	b.ReportMetric(1e6*perCurl, "us/curl")
	b.ReportMetric(perProbe/perCurl, "x-curl")
}
