package machine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Checkpoint takes an image; see reconcile.Node.
func (n *Node) Checkpoint(ctx context.Context, name string, instance uint64, o spec.CheckpointOptions) (_ spec.Image, err error) {
	defer func() { err = about("checkpoint", name, err) }()
	tool, err := n.criu(ctx)
	if err != nil {
		return spec.Image{}, err
	}
	company, err := n.Company(name, instance)
	if err != nil {
		return spec.Image{}, err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	done, err := n.still.hold(company, end)
	if err != nil {
		return spec.Image{}, err
	}
	defer done()
	s := &saving{node: n, tool: tool, options: o, began: time.Now(), all: make(chan struct{})}
	defer s.close()
	for _, in := range company {
		if err := s.add(ctx, in); err != nil {
			return spec.Image{}, about("take an image of", in.Name, err)
		}
	}
	if err := s.start(ctx); err != nil {
		return spec.Image{}, err
	}
	images, err := s.save(ctx)
	if err != nil {
		return spec.Image{}, err
	}
	done() // the containers go on: packing takes its time
	for i, img := range images {
		images[i] = n.tidy(ctx, img)
	}
	return images[0], nil
}

// saving is one or several containers that images are being taken of at one moment: of all or of none.
type saving struct {
	node    *Node
	tool    criu.Tool
	options spec.CheckpointOptions
	began   time.Time
	members []*member

	mu      sync.Mutex
	waiting int           // how many are complete and stand still
	all     chan struct{} // closed when all are, or one has failed
	failed  error         // then
	images  []spec.Image  // those that were committed
}

// member is one of the containers.
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

// add looks at a container and makes room for its image.
func (s *saving) add(ctx context.Context, in spec.Instance) (err error) {
	m := &member{s: s, policy: in.Spec.Spec.Checkpoint}
	s.members = append(s.members, m)
	if err := s.node.Filled(ctx, in.Name, in.ID, fillPatience); err != nil {
		return err
	}
	if m.dump, err = s.node.OpenDump(ctx, in.Name, in.ID); err != nil {
		return err
	}
	if m.work, err = s.node.WorkDir(in.Name, in.ID); err != nil {
		return err
	}
	m.writer, err = s.node.images.Begin(in.Name)
	return err
}

// start copies memory beforehand where that is asked for, and starts a criu for each.
func (s *saving) start(ctx context.Context) error {
	for _, m := range s.members {
		if err := m.preCopy(ctx); err != nil {
			return about("take an image of", m.dump.Instance.Name, err)
		}
	}
	var dumps []*linux.Dump
	for _, m := range s.members {
		dumps = append(dumps, m.dump)
	}
	for _, m := range s.members {
		err := m.look()
		if err != nil {
			return err
		}
		if m.conn, m.dumper, err = m.tool(ctx, dumps...); err != nil {
			return err
		}
	}
	return nil
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

func (s *saving) close() {
	for _, m := range s.members {
		if m.conn != nil {
			_ = m.conn.Close()
		}
		if m.dumper != nil {
			_ = m.dumper.Close()
		}
		if m.writer != nil {
			_ = m.writer.Abort()
		}
		if m.work != nil {
			_ = m.work.Close()
		}
		if m.dump != nil {
			m.dump.Close()
		}
	}
}

// save takes the images.
func (s *saving) save(ctx context.Context) ([]spec.Image, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	thaw := func(context.Context) error { return nil }
	if len(s.members) > 1 {
		var dumps []*linux.Dump
		for _, m := range s.members {
			dumps = append(dumps, m.dump)
		}
		var err error
		if thaw, err = linux.FreezeTogether(ctx, dumps); err != nil {
			return nil, err
		}
	}
	errs := make([]error, len(s.members))
	var work sync.WaitGroup
	for i, m := range s.members {
		work.Go(func() {
			if errs[i] = m.save(ctx, cancel); errs[i] != nil {
				s.giveUp(errs[i])
			}
		})
	}
	work.Wait()
	err := errors.Join(errs...)
	if !s.options.Stop || err != nil {
		err = errors.Join(err, thaw(context.WithoutCancel(ctx)))
	}
	if err != nil && s.takeBack(context.WithoutCancel(ctx), &err) {
		return nil, err
	}
	if s.options.Stop {
		s.complete()
		return s.images, nil
	}
	for _, m := range s.members {
		for name, text := range m.late() {
			if err := m.write(name, func(f *os.File) error { _, err := f.Write(text); return err }); err != nil {
				return nil, err
			}
		}
	}
	return s.images, s.commit(ctx)
}

// complete adds to images that were committed what was known only when their runs had ended. It is of no use for a restore.
func (s *saving) complete() {
	for i, m := range s.members {
		facts := m.facts()
		img, err := s.node.images.Change(s.images[i].Ref(), image.Change{
			Facts: func(img *spec.Image) { img.Frozen, img.Took = facts.Frozen, facts.Took }, Late: m.late(),
		})
		if err != nil {
			s.node.cfg.Log.Error(err, "image lacks statistics", "image", s.images[i].Ref())
			continue
		}
		s.images[i] = img
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

// takeBack says of images that were committed and whose processes run on after all that no run ended with them. It tells whether there may be one such: criu may have
// ended all of them before it heard that nobody wants it any more.
func (s *saving) takeBack(ctx context.Context, err *error) (isBack bool) {
	for _, m := range s.members {
		*err = errors.Join(*err, m.dumper.Close())
	}
	if len(s.images) == 0 {
		return true
	}
	for _, img := range s.images {
		lives, unknown := s.node.LivesOn(ctx, img.Container, img.Instance)
		if lives {
			unknown = s.node.images.Remove(img.Ref())
		}
		isBack = isBack || lives || unknown != nil
		*err = errors.Join(*err, unknown)
	}
	return isBack
}

// errPause is why a dump is given up that takes too long.
type errPause time.Duration

func (e errPause) Error() string {
	return fmt.Sprintf("it stood still for more than %v and runs on\nhint: raise checkpoint.maxPause, or say preCopy where the kernel tracks memory", time.Duration(e))
}

// save takes the image of one container. The processes stand still from the first notification to the end.
func (m *member) save(ctx context.Context, cancel context.CancelCauseFunc) error {
	watchdog := time.AfterFunc(criuPatience, func() { cancel(errSlow(criuPatience)) })
	defer func() { watchdog.Stop() }()
	limit, why := m.limit(ctx)
	if m.s.options.Stop { // who runs on is kept waiting by whatever else is done
		m.writer.Follow()
	}
	err := m.conn.Dump(ctx, m.dumpOptions(), criu.Notify{
		PreDump: func() error {
			m.stood = time.Now()
			if !watchdog.Stop() {
				return context.Cause(ctx)
			}
			watchdog = time.AfterFunc(limit, func() { cancel(why) })
			return nil
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
	// Of a network other than its own criu lists what the kernel knows of connections, which takes as long as all else; to keep packets out it has to be outside.
	users := m.dump.Instance.Spec.Spec.Namespaces.User.Mode
	own := users != "" && users != spec.UserHost
	m.inside = m.open && m.dump.Network != 0 && !own && m.policy.PreCopy == 0 && m.s.node.KnowsKernel()
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

// giveUp lets nobody wait for one that has failed.
func (s *saving) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.all:
	default:
		s.failed = fmt.Errorf("another container of its group cannot be saved: %w", err)
		close(s.all)
	}
}

// The files of an image beside criu's.
const (
	fileLayer   = "rootfs-diff.tar"
	fileDeleted = "deleted.files"
	fileBackend = "backend.json"
	dirTrees    = "tmpfs"
)

// backend is what of a container has to be known to restore it, beside its spec.
type backend struct {
	Mounts  []string          `json:"mounts"`
	Streams map[string]string `json:"streams,omitzero"`
	Network bool              `json:"network,omitzero"`
	Inside  bool              `json:"inside,omitzero"`  // criu was in the network, of which the image knows nothing
	Trees   map[string]string `json:"trees,omitzero"`   // files of the image, by the places whose contents they are
	Users   mount.IDMap       `json:"users,omitzero"`   // of the user namespace, by which ids in archives are the node's
	Threads []linux.Thread    `json:"threads,omitzero"` // what they have and criu does not save

	Programs map[string]string `json:"programs,omitzero"` // the sums of the files that are executed
}

// saveFiles saves what the container wrote into its root, and the file systems in memory.
func (m *member) saveFiles(ctx context.Context) error {
	d := m.dump
	b := backend{Mounts: d.Mounts, Streams: d.Streams, Network: d.Network != 0 && !m.inside, Inside: m.inside, Users: d.Users, Trees: map[string]string{}}
	var err error
	if b.Threads, err = d.Threads(); err != nil {
		return err
	}
	if err := d.LookAtPrograms(ctx); err != nil {
		return err
	}
	b.Programs = d.Programs.Sums()
	if d.Lower != nil {
		var deleted []string
		err := m.write(fileLayer, func(w *os.File) (err error) {
			deleted, err = tree.Diff(ctx, w, d.Root, d.Lower, nil)
			return err
		})
		if err == nil {
			err = m.write(fileDeleted, func(w *os.File) error { _, err := w.Write(tree.EncodeDeleted(deleted)); return err })
		}
		if err != nil {
			return fmt.Errorf("cannot save its files: %w", err)
		}
	}
	for i, place := range slices.Sorted(maps.Keys(d.Trees)) {
		name := path.Join(dirTrees, fmt.Sprintf("%d.tar", i))
		b.Trees[place] = name
		if err := m.write(name, func(w *os.File) error { return tree.Save(ctx, w, d.Trees[place], skipped(place, d.Instance.Spec.Spec)) }); err != nil {
			return fmt.Errorf("cannot save the files of %s: %w", place, err)
		}
	}
	return m.writeJSON(fileBackend, b)
}

// skipped tells what of a file system in memory is not saved: the backend fills /dev itself.
func skipped(place string, s spec.ContainerSpec) func(string) bool {
	if place != "/dev" {
		return nil
	}
	return func(name string) bool {
		return !strings.Contains(name, "/") && (linux.MadeInDev(name) || slices.ContainsFunc(s.Devices, func(d spec.Device) bool {
			return d.Path == "/dev/"+name || strings.HasPrefix(d.Path, "/dev/"+name+"/")
		}))
	}
}

func (m *member) write(name string, fill func(*os.File) error) error {
	f, err := m.writer.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

func (m *member) writeJSON(name string, content any) error {
	return m.write(name, func(f *os.File) error { return json.NewEncoder(f).Encode(content) })
}

// commit makes images of what was written.
func (s *saving) commit(ctx context.Context) (err error) {
	if len(s.members) == 1 {
		m := s.members[0]
		img, err := m.writer.Commit(ctx, m.facts())
		s.images = []spec.Image{img}
		if err != nil {
			s.images = nil
		}
		return err
	}
	var members []image.Member
	for _, m := range s.members {
		members = append(members, image.Member{Writer: m.writer, Facts: m.facts()})
	}
	s.images, err = s.node.images.CommitSet(ctx, strings.ToLower(rand.Text()), members)
	return err
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
		Instance: in.ID, Starts: in.Starts, Boot: m.s.node.Boot(), Hash: in.Hash, Defaults: in.Defaults, Spec: in.Spec,
		Frozen: spec.Duration(frozen), Took: spec.Duration(time.Since(m.s.began)), CRIU: m.s.tool.Version,
	}
}
