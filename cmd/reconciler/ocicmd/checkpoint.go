package ocicmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

// What criu finds as its first descriptor of ours, and what images call a network namespace that is not in them, as those of other runtimes do.
const (
	fileSocket = "swrk"
	firstFile  = 3
	keyNetwork = "extRootNetNS"
)

// dumping are the flags of checkpoint.
type dumping struct {
	imaging
	parent, pageServer, statusFD                 *string
	leaveRunning, skipInFlight, linkRemap, early *bool
}

func (c *command) checkpoint(f *flags, args []string) (int, error) {
	d := dumping{
		imaging:      f.imaging(),
		leaveRunning: f.yes("leave-running", "the container goes on"),
		skipInFlight: f.yes("tcp-skip-in-flight", "TCP connections that nobody has accepted yet are left out"),
		linkRemap:    f.yes("link-remap", "deleted files that have another name are given one for the time of the image"),
		early:        f.yes("pre-dump", "write what is in memory alone, and let the container go on: a later image names this one as its parent"),
		parent:       f.text("parent-path", "DIR", "", "older image, from the image's directory: memory that it has is left out"),
		pageServer:   f.text("page-server", "ADDRESS:PORT", "", "where memory waits to be fetched, with lazy-pages"),
		statusFD:     f.text("status-fd", "N", "-1", "descriptor that gets a zero byte when it does"),
	}
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	return 0, c.dump(c.ctx, args[0], d)
}

// dump writes the image, and removes a container that does not go on.
func (c *command) dump(ctx context.Context, id string, flags dumping) error {
	o, err := flags.options(c.debug)
	if err == nil {
		err = parentPath(*flags.imagePath, *flags.parent)
	}
	if err != nil {
		return err
	}
	o.LeaveRunning, o.TCPSkipInFlight, o.LinkRemap, o.Parent, o.TrackMemory = *flags.leaveRunning, *flags.skipInFlight, *flags.linkRemap, *flags.parent, *flags.parent != ""
	o.GhostLimit = survey.GhostLimit
	if o.PageServer, err = pageServer(*flags.pageServer); err != nil {
		return err
	}
	if (o.PageServer.Port != 0) != o.LazyPages {
		return errors.New("--lazy-pages and --page-server need one another")
	}
	status, err := c.statusFile(*flags.statusFD)
	if err != nil {
		return err
	}
	tool, err := c.tool()
	if err != nil {
		return err
	}
	container, err := c.OpenDump(ctx, id)
	if err != nil {
		return err
	}
	defer container.Close()
	if container.Nested && *flags.cgroupsMode != "ignore" {
		return fmt.Errorf("the container has processes in cgroups of its own making, and all would be restored in the container's: %w\nhint: if that is right, say --manage-cgroups-mode ignore", errors.ErrUnsupported)
	}
	if err := flags.open(&o, true); err != nil {
		return err
	}
	defer closeDirs(o)
	x := &dump{Dump: container, tool: tool, options: o, early: *flags.early, status: status}
	if err := x.run(ctx); err != nil {
		return err
	}
	if o.LeaveRunning || x.early {
		return nil
	}
	if err := container.Remove(ctx); err != nil { // the image is right all the same
		c.log.logr().Error(err, "what is left of the container cannot be removed")
	}
	return nil
}

// statusFile is the descriptor that somebody waits at, nil for none.
func (c *command) statusFile(number string) (*os.File, error) {
	fd, err := strconv.Atoi(number)
	if err != nil {
		return nil, fmt.Errorf("invalid status-fd %q", number)
	}
	if fd < 0 {
		return nil, nil
	}
	if fd >= 3 && !c.inherited[fd] {
		return nil, fmt.Errorf("invalid status-fd %d: %w", fd, unix.EBADF)
	}
	return os.NewFile(uintptr(fd), "status"), nil
}

// dump is an image that is being taken.
type dump struct {
	*oci.Dump
	tool    criu.Tool
	options criu.Options
	early   bool // memory alone
	status  *os.File
	open    bool // packets are not kept out, because nobody has a connection
}

// run has criu write it.
func (d *dump) run(ctx context.Context) error {
	if err := d.complete(); err != nil {
		return err
	}
	conn, theirs, err := criu.Pair()
	if err != nil {
		return err
	}
	defer conn.Close()
	child, err := d.Tool(start.Tool{Argv: d.tool.Command(firstFile), Files: []string{fileSocket}}, map[string]*os.File{fileSocket: theirs})
	if err := errors.Join(err, theirs.Close()); err != nil {
		return err
	}
	conn.Kill = func() { _ = process.Signal(child.Pidfd, unix.SIGKILL) }
	err = d.converse(ctx, conn)
	_ = conn.Close() // criu ends then
	_, reaped := process.Reap(child.Pidfd)
	return errors.Join(err, reaped, child.Pidfd.Close())
}

// complete adds to the options what the container asks for, and to the image's directory what is not criu's.
func (d *dump) complete() error {
	o := &d.options
	o.Pid, o.Watched = d.Pid, d.Watched
	if d.early {
		return nil
	}
	for _, place := range slices.Sorted(maps.Keys(d.Mounts)) {
		o.Externals = append(o.Externals, criu.Mount(place, d.Mounts[place]))
	}
	o.Externals = append(o.Externals, slices.Sorted(maps.Keys(d.Files))...)
	if d.Network != 0 {
		o.Externals = append(o.Externals, criu.Namespace("net", d.Network, keyNetwork))
	}
	if d.Paused {
		o.FreezeCgroup = d.Cgroup
	}
	if err := d.look(); err != nil {
		return err
	}
	texts, err := d.Texts()
	if err != nil {
		return err
	}
	for name, text := range texts {
		if err := writeIn(o.ImagesDir, name, text); err != nil {
			return err
		}
	}
	return nil
}

// look decides whether packets have to be kept out while the processes stand still: for connections, and when the container is to end, for those who would
// connect before it does.
func (d *dump) look() error {
	if d.options.NetworkLock != "" {
		return nil
	}
	connected, err := d.Connected()
	if err != nil {
		return err
	}
	listens := false
	if !d.options.LeaveRunning {
		if listens, err = d.Listens(); err != nil {
			return err
		}
	}
	if d.open = !connected && !listens; d.open {
		d.options.NetworkLock = criu.NoLock
	}
	return nil
}

// errConnected is a connection that came between a look and the moment when all processes stood still.
var errConnected = errors.New("somebody connected in the moment of the image\nhint: try again")

// converse is the conversation with criu.
func (d *dump) converse(ctx context.Context, conn *criu.Conn) error {
	if err := d.able(ctx, conn); err != nil {
		return err
	}
	notify := criu.Notify{
		PostDump: func() error {
			if !d.open {
				return nil
			}
			connected, err := d.Connected()
			if err == nil && connected {
				err = errConnected
			}
			return err
		},
		StatusReady: func() error {
			if d.status == nil {
				return nil
			}
			_, err := d.status.Write([]byte{0})
			return errors.Join(err, d.status.Close())
		},
	}
	if d.early {
		return conn.PreDump(ctx, d.options, criu.Notify{})
	}
	return conn.Dump(ctx, d.options, notify)
}

// able asks the kernel, through criu, for what not every one has.
func (d *dump) able(ctx context.Context, conn *criu.Conn) error {
	if !d.early && !d.options.TrackMemory && !d.options.LazyPages {
		return nil
	}
	features, err := conn.Features(ctx)
	switch {
	case err != nil:
		return err
	case (d.early || d.options.TrackMemory) && !features.TrackMemory:
		return fmt.Errorf("--pre-dump and --parent-path need a kernel that tracks which memory changes (CONFIG_MEM_SOFT_DIRTY), and this one does not: %w", errors.ErrUnsupported)
	case d.options.LazyPages && !features.LazyPages:
		return fmt.Errorf("--lazy-pages needs a kernel that fills memory as it is touched (userfaultfd), and this one does not: %w", errors.ErrUnsupported)
	}
	return nil
}

// writeIn writes a file in a directory, in the place of one of its name.
func writeIn(dir *os.File, name string, text []byte) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(text)
	return cmp.Or(err, f.Close())
}
