package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// member is one container of those that images are being taken of at one moment.
type member struct {
	s      *saving
	policy spec.Checkpoint
	dump   *linux.Dump
	writer *image.Writer
	conn   *criu.Conn
	dumper *keeper.Exec
	work   *os.File // where criu writes its log and its statistics
	parent string   // the memory that was copied beforehand, from the image's; "" for none

	open   bool          // packets are not kept out, because nobody has a connection
	inside bool          // criu is in the container's network, which is none of its business then
	stood  time.Time     // since when its processes stand still
	pause  time.Duration // how long they did
}

// tool starts a criu that dumps the container, and whose end leaves all of those that are given as they were.
func (m *member) tool(ctx context.Context, all ...*linux.Dump) (*criu.Conn, *keeper.Exec, error) {
	conn, theirs, err := criu.Pair()
	if err != nil {
		return nil, nil, err
	}
	tool := start.Tool{Argv: m.s.tool.Command(firstFile), Files: []string{fileSocket}, InNetwork: m.inside}
	dumper, err := m.dump.Tool(ctx, tool, map[string]*os.File{fileSocket: theirs}, all...)
	if err := errors.Join(err, theirs.Close()); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	conn.Kill = func() { _ = dumper.Close() }
	return conn, dumper, nil
}

// The descriptors that criu finds.
const (
	fileSocket = "swrk"
	firstFile  = 3
)

// errPause is why a dump is given up that takes too long.
type errPause time.Duration

func (e errPause) Error() string {
	return fmt.Sprintf("it stood still for more than %v and runs on\nhint: raise checkpoint.maxPause, or say preCopy where the kernel tracks memory", time.Duration(e))
}

// save takes the image of one container. The processes stand still from the first notification to the end.
func (m *member) save(ctx context.Context, cancel func(error)) error {
	limit, why := m.limit(ctx)
	watchdog := time.AfterFunc(criuPatience, func() { cancel(errSlow(criuPatience)) })
	if m.stood = m.s.stood; !m.stood.IsZero() {
		watchdog.Stop()
		watchdog = time.AfterFunc(limit, func() { cancel(why) })
	}
	defer func() { watchdog.Stop() }()
	if m.s.options.Stop { // who runs on is kept waiting by whatever else is done
		m.writer.Follow()
	}
	err := m.conn.Dump(ctx, m.dumpOptions(), criu.Notify{
		PreDump: func() error {
			if !m.stood.IsZero() { // as one of a group
				return m.dump.Lives()
			}
			m.stood = time.Now()
			if !watchdog.Stop() {
				return context.Cause(ctx)
			}
			watchdog = time.AfterFunc(limit, func() { cancel(why) })
			return m.dump.Lives()
		},
		ExternalFiles: func() ([]string, error) { return nil, m.dump.Drained(ctx) },
		PostDump:      func() error { return m.complete(ctx) },
	})
	m.pause = time.Since(m.stood)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return cause
	}
	return err
}

// criuPatience is how long criu may take to begin, beside what its work takes.
const criuPatience = 30 * time.Second

// limit is how long the processes may stand still, and why the image is given up then: who is to end with it stands still as long as a slow disk takes,
// twice, for what is written is read again.
func (m *member) limit(ctx context.Context) (time.Duration, error) {
	if !m.s.options.Stop {
		limit := time.Duration(m.policy.Pause())
		return limit, errPause(limit)
	}
	limit := criuPatience
	in := m.dump.Instance
	if stats, err := m.s.node.Stats(ctx, in.Name, in.ID); err == nil && stats.Memory != nil {
		limit += 2 * slowly(stats.Memory.Current)
	}
	return limit, errSlow(limit)
}

// errSlow is why a criu is given up.
type errSlow time.Duration

func (e errSlow) Error() string { return fmt.Sprintf("criu is not done after %v", time.Duration(e)) }

func (e errSlow) Unwrap() error { return context.DeadlineExceeded }

// look decides whether packets have to be kept out while the processes stand still, which takes longer than all else: for connections, and when the container is
// to end, for those who would connect before it does.
func (m *member) look() error {
	connected, err := m.dump.Connected()
	if err != nil {
		return err
	}
	listens := false
	if m.s.options.Stop {
		if listens, err = m.dump.Listens(); err != nil {
			return err
		}
	}
	m.open = !connected && !listens
	if !m.open && m.dump.Joins() {
		return fmt.Errorf("it has connections, or listens, in the network of another container, which would hear nothing meanwhile: %w\nhint: take an image of that one, or make them a group", errors.ErrUnsupported)
	}
	// Of a network other than its own criu lists what the kernel knows of connections, which takes as long as all else; to keep packets out it has to be outside.
	m.inside = m.open && m.dump.Network != 0 && m.policy.PreCopy == 0 && m.s.node.KnowsKernel()
	return nil
}

// errConnected is a connection that came between a look and the moment when all processes stood still.
var errConnected = fmt.Errorf("somebody connected in the moment of the image: %w", spec.ErrBusy)

// dumpOptions say what of the container is not in the image.
func (m *member) dumpOptions() criu.Options {
	d := m.dump
	o := criu.Options{
		ImagesDir: m.writer.Images(), WorkDir: m.work, Pid: d.Instance.Pid,
		LeaveRunning: !m.s.options.Stop, Watched: d.Watched, FileLocks: true, LinkRemap: true, GhostLimit: linux.GhostLimit, TCPSkipInFlight: true, OrphanPTSMaster: d.Instance.Spec.Spec.TTY,
		TCPEstablished: m.policy.TCP != spec.TCPClose, TCPClose: m.policy.TCP == spec.TCPClose,
	}
	for _, place := range d.Mounts {
		o.Externals = append(o.Externals, criu.Mount(place, place))
	}
	for file := range d.Streams {
		o.Externals = append(o.Externals, file)
	}
	if d.Network != 0 && !m.inside {
		o.Externals = append(o.Externals, criu.Namespace("net", d.Network, keyNetwork))
	}
	o.EmptyNetwork = !d.Users.IsZero() && linux.OwnsNetwork(d.Instance.Spec.Spec)
	if d.Paused || len(m.s.members) > 1 {
		o.FreezeCgroup = d.Cgroup
	}
	if o.NetworkLock = m.s.node.networkLock(); m.open {
		o.NetworkLock = criu.NoLock
	}
	o.Parent, o.TrackMemory = m.parent, m.parent != ""
	return o
}

// keyNetwork is what an image calls the network namespace that it is not to have.
const keyNetwork = "extnet"

// complete is called when criu has written everything and all processes stand still. The files are saved, then the others waited for; if the container is to end
// with its image, that is committed here: criu kills as soon as it is told that all is well.
func (m *member) complete(ctx context.Context) error {
	if err := m.dump.Lives(); err != nil { // what stands still is another's
		return err
	}
	if m.open {
		if connected, err := m.dump.Connected(); err != nil || connected {
			return cmp.Or(err, errConnected)
		}
	}
	if err := criu.MendTimers(m.writer.Images()); err != nil {
		return err
	}
	if err := m.saveFiles(ctx); err != nil {
		return err
	}
	s := m.s
	s.mu.Lock()
	if s.waiting++; s.waiting == len(s.members) && s.failed == nil {
		if s.options.Stop {
			s.failed = s.commit(ctx)
			s.isFinal.Store(s.failed == nil)
		}
		close(s.all)
	}
	s.mu.Unlock()
	select {
	case <-s.all:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// facts are what is known of an image beside what the store finds out.
func (m *member) facts() spec.Image {
	in := m.dump.Instance
	frozen := m.pause
	if frozen == 0 {
		frozen = time.Since(m.stood)
	}
	return spec.Image{
		CreatedAt: time.Now(), Cause: m.s.options.Cause, Kept: m.s.options.Keep, Stopped: m.s.options.Stop,
		Instance: in.ID, Starts: in.Starts, StartedAt: in.StartedAt, Boot: m.s.node.Boot(), Hash: in.Hash, Defaults: in.Defaults, Spec: in.Spec, Configs: spec.SeenConfigs(in),
		Frozen: spec.Duration(frozen), Took: spec.Duration(time.Since(m.s.began)), CRIU: m.s.tool.Version,
	}
}

// late are criu's log and statistics of the dump.
func (m *member) late() map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{criu.DumpLog, "stats-dump"} {
		f, err := os.Open(filepath.Join(m.work.Name(), name))
		if err != nil {
			continue
		}
		if text, err := io.ReadAll(io.LimitReader(f, maxLog)); err == nil {
			files[name] = text
		}
		_ = f.Close()
	}
	return files
}

// maxLog bounds what is kept of a log.
const maxLog = 1 << 20
