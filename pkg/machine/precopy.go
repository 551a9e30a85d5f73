package machine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// copying copies the memory of processes while they run: all of it first, then again and again what changed meanwhile, so that little is left for the moment
// when they stand still.
type copying struct {
	begin   func(ctx context.Context) (conn *criu.Conn, end func(), err error) // starts a criu
	mkdir   func(name string) (*os.File, error)                                // makes a directory of the image
	options criu.Options                                                       // but for ImagesDir and Parent; WorkDir is where criu's statistics are
}

// Copying goes on as long as it pays: not when so little changed, or hardly less than in the round before.
const (
	littleMemory = 1 << 20
	hardlyLess   = 0.75
)

// run goes a number of rounds at most, and gives the last one's directory, from the image's.
func (c copying) run(ctx context.Context, rounds int) (parent string, err error) {
	before := int64(math.MaxInt64)
	for i := range rounds {
		name := fmt.Sprintf("pre-%d", i)
		written, err := c.round(ctx, name, parent)
		if err != nil {
			return "", fmt.Errorf("cannot copy memory beforehand: %w", err)
		}
		parent = "../" + name
		if written < littleMemory || float64(written) > hardlyLess*float64(before) {
			break
		}
		before = written
	}
	return parent, nil
}

// round copies what changed since its parent, and tells how much that was.
func (c copying) round(ctx context.Context, name, parent string) (written int64, err error) {
	dir, err := c.mkdir(name)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	conn, end, err := c.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	o := c.options
	o.ImagesDir, o.Parent, o.TrackMemory = dir, parent, true
	if err := conn.PreDump(ctx, o, criu.Notify{}); err != nil {
		return 0, err
	}
	stats, err := criu.ReadDumpStats(o.WorkDir)
	return stats.Written, err
}

// preCopy copies a container's memory beforehand if its manifest says so and the kernel can tell what changes.
func (m *member) preCopy(ctx context.Context) error {
	if m.policy.PreCopy == 0 || m.dump.Paused { // what is paused changes nothing
		return nil
	}
	if err := m.tracks(ctx); errors.Is(err, errors.ErrUnsupported) {
		m.s.node.cfg.Log.Info("no memory is copied beforehand", "name", m.dump.Instance.Name, "instance", m.dump.Instance.ID, "why", err.Error())
		return nil
	} else if err != nil {
		return err
	}
	c := copying{begin: m.begin, mkdir: m.writer.Mkdir, options: m.dumpOptions()}
	c.options.FreezeCgroup = "" // each stands still for a moment, and not with its group
	parent, err := c.run(ctx, m.policy.PreCopy)
	m.parent = parent
	return err
}

// tracks is errors.ErrUnsupported where the kernel does not tell what memory changes: criu aborts there.
func (m *member) tracks(ctx context.Context) error {
	return m.s.node.can(ctx, criu.PreCopy)
}

// begin starts a criu that dumps the container.
func (m *member) begin(ctx context.Context) (*criu.Conn, func(), error) {
	conn, dumper, err := m.tool(ctx, m.dump)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() {
		_ = conn.Close()
		_ = dumper.Close()
	}, nil
}
