package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// asking is one way of asking a container whether it is well.
type asking struct {
	name string
	ask  func() error
}

// BenchmarkProbe compares what a question costs of the processors, as it is asked by an agent and by a process of curl that is born in the container's
// network already. What the container itself needs for its answer counts for neither.
func BenchmarkProbe(b *testing.B) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		b.Skipf("nothing to compare with: %v", err)
	}
	n := newMachine(b)
	plain := &node{n.Node, newRootfs(b), newMark(b)}
	plain.run(b, plain.container("web", "/bin/sh", "-c", "httpd -p 8080 -h /etc; echo >/mark/mark; exec sleep 1000"))
	b.Cleanup(func() { _ = n.Destroy(context.Background(), "web", 1, false) })
	ours, theirs := asks(n), curls(b, n, curl)
	took := map[string]time.Duration{}
	for round := range b.N { // by turns, so that both meet the same moments
		for i := range 2 {
			a := []asking{ours, theirs}[(round+i)%2]
			before := processors(b)
			if err := a.ask(); err != nil {
				b.Fatalf("%s: %v", a.name, err)
			}
			took[a.name] += processors(b) - before
		}
	}
	for name, sum := range took {
		b.ReportMetric(float64(sum.Microseconds())/float64(b.N), "us-"+name)
	}
	b.ReportMetric(float64(took[ours.name])/float64(took[theirs.name]), "ratio")
}

// asks is a probe by the agent.
func asks(n *machine.Node) asking {
	means := probe.Means{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return n.Dial(ctx, "web", 1, network, address)
	}}
	p := spec.Probe{HTTP: &spec.HTTPProbe{Port: 8080, Path: "/hosts"}, Timeout: spec.Duration(10 * time.Second)}
	return asking{"probe", func() error { return probe.Check(context.Background(), p, means) }}
}

// curls is curl on a thread that is in the container's network, which its process inherits.
func curls(b *testing.B, n *machine.Node, curl string) asking {
	all, err := n.ObserveOne(context.Background(), "web")
	if err != nil || len(all) != 1 {
		b.Fatal(all, err)
	}
	inside, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", all[0].Pid))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = inside.Close() })
	return asking{"curl", func() error {
		return netlink.Inside(inside, func() error {
			return exec.Command(curl, "-fsS", "-o", "/dev/null", "http://127.0.0.1:8080/hosts").Run()
		})
	}}
}

// processors is the time that this process and its children that have ended have had of all processors.
func processors(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return sum
}
