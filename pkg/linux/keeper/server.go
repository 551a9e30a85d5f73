package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// errGone tells that an instance was released while somebody waited for it.
var errGone = errors.New("instance was released")

// keeper is the server.
type keeper struct {
	cfg    Config
	argv   []string // the command that a successor is executed with
	build  string
	boot   string
	lock   *os.File
	socket *net.UnixListener
	loop   *loop

	// gate is held for reading by requests that change something, and for writing by an upgrade, which closes that of events as well.
	gate   sync.RWMutex
	events gate

	strays   strays
	further  further
	sessions atomic.Int32 // how many connections belong to a process

	sandboxes   sandboxes
	logs        logs
	subscribers subscribers
	store       *store // nil for none

	mu        sync.Mutex
	instances map[Key]*instance
}

// Run keeps the node's containers until ctx ends; they run on. It refuses to be the second keeper of a run
// directory. A process can be keeper only once, and should call Main instead, which prepares it.
func Run(ctx context.Context, cfg Config) error { return run(ctx, cfg, nil, nil, nil, func() {}) }

// run is Run, after an upgrade with what the predecessor handed over, and with what the service manager has stored; ready is called when clients can connect.
func run(ctx context.Context, cfg Config, argv []string, from *handover, stored *store, ready func()) (err error) {
	if cfg.RunDir, err = filepath.Abs(cfg.RunDir); err != nil {
		return err
	}
	k := &keeper{cfg: cfg, argv: argv, build: BuildID("/proc/self/exe"), store: stored, instances: map[Key]*instance{}}
	k.sandboxes.byKey = map[string]keptSandbox{}
	k.logs.byDir = map[string]*sharedLog{}
	if argv != nil { // by Main: this process has no other children
		k.strays.known = k.knows
	}
	defer k.close()
	if err := k.prepare(from); err != nil {
		return err
	}
	if err := k.adoptAll(from); err != nil {
		return err
	}
	if err := k.listen(from); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	defer work.Wait()
	defer context.AfterFunc(ctx, func() { k.socket.Close() })()
	work.Go(func() { cancel(k.loop.run(ctx)) })
	work.Go(func() { k.strays.watch(ctx) })
	if asked := from.client(); asked != nil {
		work.Go(func() { k.resume(ctx, asked) })
	}
	ready()
	k.accept(ctx, &work)
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// prepare takes the lock and opens what every container needs.
func (k *keeper) prepare(from *handover) (err error) {
	if err := os.MkdirAll(filepath.Join(k.cfg.RunDir, stateDir), 0o700); err != nil {
		return fmt.Errorf("cannot keep containers: %w", err)
	}
	if k.lock, err = from.lock(k.cfg); err != nil {
		return err
	}
	if k.boot, err = process.BootID(); err != nil {
		return err
	}
	if k.loop, err = newLoop(k.cfg.Log); err != nil {
		return err
	}
	return nil
}

// close lets go of everything. Containers run on: they hold their pipes open themselves.
func (k *keeper) close() {
	if k.socket != nil {
		k.socket.Close()
	}
	for _, in := range k.all() {
		in.mu.Lock()
		in.close()
		in.mu.Unlock()
	}
	for _, key := range k.sandboxes.keys() {
		k.sandboxes.forget(key)
	}
	if k.loop != nil {
		k.loop.epoll.Close()
	}
	if k.lock != nil {
		k.lock.Close()
	}
}

// guarded makes f wait for an upgrade to succeed, in which case it never runs here, or to fail.
func (k *keeper) guarded(f func() bool) func() bool {
	return func() bool {
		k.events.enter()
		defer k.events.leave()
		return f()
	}
}

// after runs f once, after a pause, as the loop runs what a descriptor is ready for.
func (k *keeper) after(pause time.Duration, f func()) *time.Timer {
	return time.AfterFunc(pause, func() {
		defer survive(k.cfg.Log, nil)
		k.guarded(func() bool { f(); return false })()
	})
}

// dir is the directory of an instance.
func (k *keeper) dir(key Key) string {
	return filepath.Join(k.cfg.RunDir, stateDir, key.Name, strconv.FormatUint(key.Instance, 10))
}

// check refuses a key that could lead out of the state directory.
func (key Key) check() error {
	if key.Name == "" || key.Name == "." || key.Name == ".." || strings.ContainsAny(key.Name, "/\x00") || key.Instance == 0 {
		return fmt.Errorf("no instance can be named %q/%d: %w", key.Name, key.Instance, fs.ErrInvalid)
	}
	return nil
}

// find gives a known instance; fs.ErrNotExist if it is not.
func (k *keeper) find(key Key) (*instance, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if in := k.instances[key]; in != nil {
		return in, nil
	}
	return nil, fmt.Errorf("no process was started in %s/%d: %w", key.Name, key.Instance, fs.ErrNotExist)
}

// findOrAdd gives an instance, made known if it is not.
func (k *keeper) findOrAdd(key Key) *instance {
	k.mu.Lock()
	defer k.mu.Unlock()
	in := k.instances[key]
	if in == nil {
		in = &instance{k: k, key: key, dir: k.dir(key)}
		in.show()
		k.instances[key] = in
	}
	return in
}

// drop forgets an instance.
func (k *keeper) drop(in *instance) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.instances[in.key] == in {
		delete(k.instances, in.key)
	}
}

// all lists the known instances.
func (k *keeper) all() []*instance {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]*instance, 0, len(k.instances))
	for _, in := range k.instances {
		all = append(all, in)
	}
	return all
}
