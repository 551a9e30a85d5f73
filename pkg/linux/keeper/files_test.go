package keeper_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

// limit is the keeper's RLIMIT_NOFILE, set if new is not nil.
func (n *node) limit(new *unix.Rlimit) (old unix.Rlimit) {
	n.t.Helper()
	if err := unix.Prlimit(n.keeperPid(), unix.RLIMIT_NOFILE, new, &old); err != nil {
		n.t.Fatal(err)
	}
	return old
}

func TestFilesRaised(t *testing.T) {
	n := newNode(t)
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	if got := n.limit(nil); got.Cur != got.Max || got.Max < own.Max {
		t.Errorf("the keeper's limit is %+v, the test's %+v", got, own)
	}
}

// A keeper that has no descriptor left for a client says so a few times, and serves clients as soon as it has one.
func TestNoFilesLeft(t *testing.T) {
	n := newNode(t)
	n.settled()
	n.client.Close()
	limit := n.limit(nil)
	n.limit(&unix.Rlimit{Cur: 3, Max: limit.Max})
	conn, err := net.Dial("unix", filepath.Join(n.run, "state", "keeper.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	complaints := func() int { return strings.Count(n.says(), "cannot accept a client") }
	n.eventually("complaints", func() bool { return complaints() >= 4 })
	if got := complaints(); got > 50 {
		t.Errorf("%d complaints at once", got)
	}
	n.limit(&limit)
	c, err := keeper.Dial(context.Background(), n.run)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
}
