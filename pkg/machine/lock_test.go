package machine_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// locks are the tables by which a criu keeps packets out of the network of web.
func (n *node) locks() (locks []string) {
	n.t.Helper()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.look("web").Pid))
	must(n.t, err)
	defer ns.Close()
	c, err := netlink.Dial(ns, unix.NETLINK_NETFILTER)
	must(n.t, err)
	defer c.Close()
	locks, err = nft.Tables(c)
	must(n.t, err)
	return locks
}

// Whatever becomes of a criu that keeps packets out, they come in again. What its end costs, in some moments, is the process, and in others a connection: who reads from one
// that is just being looked at (TCP_REPAIR) is told EPERM, as soon as it runs again.
func TestCriuKilledUnderAStream(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		address := n.server(spec.UserHost)
		s := dial(t, nil, address+":7")
		n.until("numbers", func() bool { return s.received.Load() > 100 })
		took := time.Duration(n.warm("web").Took)
		killed, broken, crashed, hung := 0, 0, 0, 0
		answers := func() bool {
			c, err := net.DialTimeout("tcp", address+":7", time.Second)
			if err == nil {
				c.Close()
			}
			return err == nil
		}
		again := func() {
			s.conn.Close()
			for end := time.Now().Add(kerneltest.Patient(5 * time.Second)); !answers() && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if !answers() { // what criu had put into it is there still
				hung++
				must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
				n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
				must(t, n.Start(t.Context(), "web", 1))
				n.until("the server", answers)
			}
			s = dial(t, nil, address+":7")
		}
		for _, after := range moments(12, 200, took) {
			what := fmt.Sprintf("criu killed %v after its start", after)
			met, err := n.meddle(after, kill, func() error {
				_, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{})
				return err
			})
			if met && err != nil {
				killed++
			}
			if in := n.look("web"); in.Phase != spec.InstanceRunning {
				crashed++
				must(t, n.Start(t.Context(), "web", 1))
				again()
			}
			if locks := n.locks(); len(locks) > 0 {
				t.Errorf("%s: %q", what, locks)
			}
			was := s.received.Load()
			for end := time.Now().Add(kerneltest.Patient(2 * time.Second)); s.received.Load() <= was+100 && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if s.received.Load() <= was+100 {
				if err == nil {
					t.Errorf("%s: the image was taken, and the stream has ended", what)
				}
				broken++
				again()
				n.until("numbers after "+what, func() bool { return s.received.Load() > 100 })
			}
		}
		t.Logf("%d killed in time, of which %d cost a connection, %d the container, and %d left one that answers nobody", killed, broken, crashed, hung)
		s.conn.Close()
		n.finish("web")
	})
}

// A run that begins from another image than the one that ended the last, or from the command when that image is gone, hears all packets.
func TestLocksOfOtherImages(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		address := n.server(spec.UserHost)
		first := n.checkpoint("web", spec.CheckpointOptions{})
		s := dial(t, nil, address+":7")
		n.until("numbers", func() bool { return s.received.Load() > 100 })
		ended := func() spec.Image {
			img := n.checkpoint("web", spec.CheckpointOptions{Stop: true})
			n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
			return img
		}
		ended()
		s.conn.Close()
		n.restore("web", first.Ref())
		if locks := n.locks(); len(locks) > 0 {
			t.Errorf("after an older image: %q", locks)
		}
		s = dial(t, nil, address+":7")
		n.until("numbers", func() bool { return s.received.Load() > 100 })
		img := ended()
		s.conn.Close()
		must(t, n.RemoveImage(context.Background(), img.Ref()))
		must(t, n.Start(t.Context(), "web", 1))
		if locks := n.locks(); len(locks) > 0 {
			t.Errorf("after a start: %q", locks)
		}
		n.finish("web")
	})
}
