package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ExecRequest asks the keeper to start a further process in an instance.
type ExecRequest struct {
	Key
	// Program is what the child runs; Files are the descriptors it names.
	Program process.Program
	Files   map[string]*os.File
	// Cgroup is the absolute path of a cgroup v2 directory of its own, the instance's with one element more: ExecPrefix or DetachedPrefix
	// and anything. The keeper kills what is left in it at the process's end, and removes it.
	Cgroup string
	// Detach lets the process live on after the connection that asked for it.
	Detach bool
	// After says of cgroups whether they are frozen when the process has ended, however it did: who freezes containers for a moment may die in it.
	// By the absolute path of the cgroup v2 directory of an instance of the same node.
	After map[string]bool
}

// The names of the cgroups of further processes begin with these. Without its session, or a keeper to watch it, the first kind is killed, and the
// last, which is for a process that does something to the instance from outside: it is in none of its namespaces, its cgroup is beside the instance's, and
// it may outlive it. See also FeedPrefix.
const (
	ExecPrefix     = "exec-"
	DetachedPrefix = "detached-"
	AsidePrefix    = "aside-"
)

// execHeader is an ExecRequest without its program, which is the body, and its files, which are named here in order.
type execHeader struct {
	Cgroup string          `json:"cgroup,omitzero"`
	Detach bool            `json:"detach,omitzero"`
	After  map[string]bool `json:"after,omitzero"`
	Files  []string        `json:"files,omitzero"`
}

// execGroups are the last elements of cgroups of further processes.
var execGroups = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(` + ExecPrefix + `|` + DetachedPrefix + `|` + AsidePrefix + `|` + FeedPrefix + `)[a-zA-Z0-9]{1,64}$`)
})

// check refuses a cgroup that is not one below the instance's, or aside.
func (h execHeader) check(key Key) error {
	dir, last := filepath.Split(h.Cgroup)
	above := filepath.Clean(dir)
	if strings.HasPrefix(last, AsidePrefix) || strings.HasPrefix(last, FeedPrefix) {
		above = filepath.Join(above, strconv.FormatUint(key.Instance, 10))
	}
	if !absolute(h.Cgroup) || !ofInstance(key, above) || !execGroups().MatchString(last) {
		return fmt.Errorf("cgroup %q is none of %s/%d for a further process: %w", h.Cgroup, key.Name, key.Instance, fs.ErrInvalid)
	}
	parent := filepath.Dir(filepath.Dir(above))
	for cgroup := range h.After {
		id, err := strconv.ParseUint(filepath.Base(cgroup), 10, 64)
		if name := filepath.Base(filepath.Dir(cgroup)); err != nil || filepath.Dir(filepath.Dir(cgroup)) != parent || !ofInstance(Key{name, id}, cgroup) {
			return fmt.Errorf("cgroup %q is that of no instance here: %w", cgroup, fs.ErrInvalid)
		}
	}
	return nil
}

// execution is a further process.
type execution struct {
	k      *keeper
	key    Key
	cgroup string
	after  map[string]bool
	pid    int
	pidfd  *os.File
	source *source
	done   chan struct{} // closed when it has been reaped
	exit   process.Exit  // then
	mu     sync.Mutex    // held to signal and to reap
	then   func()        // what is to be done when it has ended; nil for nothing

	started uint64 // the start time of one whose end matters; 0 for others
}

// furtherOf starts what a session asks for.
func (k *keeper) furtherOf(req request, body []byte, files []*os.File) (*execution, error) {
	if req.Verb == verbRun {
		return k.run(req, body, files)
	}
	return k.exec(req, body, files)
}

// run starts a process of the node's, which belongs to no instance and is where the keeper is. It is killed with its process group.
func (k *keeper) run(req request, body []byte, files []*os.File) (*execution, error) {
	program, named, err := decodeProgram(body, req.Exec.Files, files)
	if err != nil {
		return nil, err
	}
	defer k.strays.make()()
	p, err := execute(program, named, noCgroup, process.Timeout, nil)
	if err != nil {
		return nil, err
	}
	e := newExecution(k, Key{}, noCgroup, p.Pid, p.Pidfd)
	if err := e.watch(); err != nil {
		return nil, errors.Join(err, e.discard())
	}
	return e, nil
}

// noCgroup is that of a process that belongs to no instance: there is nothing of that name.
const noCgroup = ""

// exec starts a further process in an instance that runs. After an error there is neither process nor cgroup.
func (k *keeper) exec(req request, body []byte, files []*os.File) (_ *execution, err error) {
	if err := req.Exec.check(req.Key); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clearExec(req.Exec.Cgroup))
		}
	}()
	in, err := k.find(req.Key)
	if err != nil {
		return nil, err
	}
	if v := in.view.Load(); !v.shown.Running && !in.attended.Load() {
		return nil, fmt.Errorf("%s/%d has ended: %w", req.Key.Name, req.Key.Instance, fs.ErrNotExist)
	}
	program, named, err := decodeProgram(body, req.Exec.Files, files)
	if err != nil {
		return nil, err
	}
	defer k.strays.make()()
	hold := watchHold(req.Exec.Cgroup)
	p, err := execute(program, named, req.Exec.Cgroup, process.Timeout, nil)
	if why := hold.end(); why != nil && err != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	if err != nil {
		return nil, err
	}
	e := newExecution(k, req.Key, req.Exec.Cgroup, p.Pid, p.Pidfd)
	e.after = req.Exec.After
	if err := e.watch(); err != nil {
		return nil, errors.Join(err, e.discard())
	}
	return e, nil
}

func newExecution(k *keeper, key Key, cgroup string, pid int, pidfd *os.File) *execution {
	return &execution{k: k, key: key, cgroup: cgroup, pid: pid, pidfd: pidfd, done: make(chan struct{})}
}

// watch waits for the end of the process.
func (e *execution) watch() (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.k.further.add(e)
	if e.source, err = e.k.loop.add(e.pidfd, e.k.guarded(func() bool { e.finish(); return false })); err != nil {
		e.k.further.remove(e)
	}
	return err
}

// finish takes a dead process to its end, and with it all that it has left in its cgroup. An adopted one has another parent, who knows how it
// ended.
func (e *execution) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	exit, err := process.Reap(e.pidfd)
	if errors.Is(err, process.ErrTraced) { // a stray from now on
		exit, err = tracedExit(e.pid), nil
	}
	if errors.Is(err, unix.ECHILD) {
		exit = e.recall()
	} else if err != nil {
		e.k.cfg.Log.Error(err, "further process lost", "name", e.key.Name, "instance", e.key.Instance)
	}
	e.exit = exit
	e.k.loop.remove(e.source)
	e.k.further.remove(e)
	if err := clearExec(e.cgroup); err != nil {
		e.k.cfg.Log.Error(err, "further process leaves its cgroup", "name", e.key.Name, "instance", e.key.Instance)
	}
	e.settleAfter()
	e.pidfd.Close()
	close(e.done)
	e.k.strays.look()
	if e.then != nil {
		e.then()
	}
}

// recall tells how an adopted process ended, as outcome does; with the unknown code where nobody knows, or nobody will ask.
func (e *execution) recall() process.Exit {
	for range killRounds {
		if e.started == 0 {
			break
		}
		exit, known, err := process.Recall(e.pidfd)
		if !known || err != nil {
			exit, known = zombieExit(e.pid, e.started)
		}
		if known {
			return exit
		}
		time.Sleep(killPause) // it may be reaped between the two questions
	}
	return process.Exit{Code: unknownCode}
}

// settleAfter freezes and thaws what is to be so after the process. A cgroup that is gone needs neither.
func (e *execution) settleAfter() {
	for cgroup, isFrozen := range e.after {
		state := "0"
		if isFrozen {
			state = "1"
		}
		err := os.WriteFile(filepath.Join(cgroup, "cgroup.freeze"), []byte(state), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			e.k.cfg.Log.Error(err, "cannot freeze or thaw", "cgroup", cgroup, "frozen", isFrozen)
		}
	}
}

// tracedExit is how a child ended that its tracer does not let go of.
func tracedExit(pid int) process.Exit {
	if started, err := process.StartTime(pid); err == nil {
		if exit, ok := zombieExit(pid, started); ok {
			return exit
		}
	}
	return process.Exit{Code: unknownCode}
}

// discard ends a process that cannot be watched.
func (e *execution) discard() error {
	err := e.kill()
	_, failed := process.Reap(e.pidfd)
	return errors.Join(err, failed, e.pidfd.Close())
}

// end ends the process and everything else in its cgroup. One aside is told to give up first.
func (e *execution) end() error {
	if isAside(e.cgroup) {
		giveUp(e.cgroup, func() bool {
			select {
			case <-e.done:
				return true
			default:
				return false
			}
		})
	}
	return e.kill()
}

// kill ends the process and everything else in its cgroup. One that has ended is no error.
func (e *execution) kill() error {
	if err := killCgroup(e.cgroup); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) { // removed, or about to be
		return errors.Join(err, e.signal(unix.SIGKILL))
	}
	return e.signal(unix.SIGKILL)
}

// signal signals the process. One that has ended is no error.
func (e *execution) signal(sig unix.Signal) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.done:
		return nil
	default:
		if e.cgroup == noCgroup && sig == unix.SIGKILL {
			_ = unix.Kill(-e.pid, sig) // of a group that it leads, or nobody's: its number is its own until it is reaped
		}
		return ignoreDead(process.Signal(e.pidfd, sig))
	}
}

// clearExec kills what is left in the cgroup of a further process and removes it. One that is gone is no error.
func clearExec(cgroup string) error {
	for range killRounds {
		err := unix.Rmdir(cgroup)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return &fs.PathError{Op: "rmdir", Path: cgroup, Err: err}
		}
		if err := killListed(cgroup); err != nil {
			return err
		}
		removeBelow(cgroup)
		rest(context.Background(), killPause)
	}
	return fmt.Errorf("cannot remove %s: %w", cgroup, unix.EBUSY)
}

// removeBelow removes the cgroups that a process has made in its own, as far as they are empty.
func removeBelow(cgroup string) {
	entries, _ := os.ReadDir(cgroup)
	for _, entry := range entries {
		if entry.IsDir() {
			removeBelow(filepath.Join(cgroup, entry.Name()))
			unix.Rmdir(filepath.Join(cgroup, entry.Name()))
		}
	}
}

// attend serves the connection that a further process was asked for on: signals go to it, its end comes back. A client that hangs up ends
// a process that is not detached.
func (e *execution) attend(ctx context.Context, conn *net.UnixConn, detached bool) {
	var reader sync.WaitGroup
	defer reader.Wait()
	defer conn.Close()
	reader.Go(func() {
		for {
			var req request
			_, files, err := receive(conn, &req)
			closeAll(files)
			if err != nil {
				break
			}
			if sig, err := parseSignal(req.Signal); req.Verb == verbKill && err == nil {
				e.report(e.signal(sig))
			}
		}
		if !detached && ctx.Err() == nil {
			e.report(e.end())
		}
	})
	select {
	case <-e.done:
		exit := describeExit(e.exit)
		send(conn, response{Exit: &exit}, nil, nil)
	case <-ctx.Done():
	}
}

func (e *execution) report(err error) {
	if err != nil && !errors.Is(err, io.EOF) {
		e.k.cfg.Log.Error(err, "further process not signalled", "name", e.key.Name, "instance", e.key.Instance)
	}
}

// describeExit is how a process ended, for people.
func describeExit(exit process.Exit) spec.Exit {
	e := spec.Exit{Code: exit.Code, Reason: reason(exit, "", false)}
	if exit.Signal != 0 {
		e.Code, e.Signal = 128+int(exit.Signal), unix.SignalName(exit.Signal)
	}
	return e
}

// adoptExecs ends the further processes of an instance whose sessions ended with an earlier keeper, and watches detached ones. When the
// instance has ended, all end.
func (k *keeper) adoptExecs(key Key, cgroup string, ended bool) {
	inside, _ := filepath.Glob(filepath.Join(cgroup, "*"))
	aside, _ := filepath.Glob(filepath.Join(filepath.Dir(cgroup), AsidePrefix+"*"))
	for _, group := range slices.Concat(inside, aside) {
		if h := (execHeader{Cgroup: group}); h.check(key) != nil {
			continue
		}
		if strings.HasPrefix(filepath.Base(group), DetachedPrefix) && !ended && k.adoptDetached(key, group) {
			continue
		}
		if isAside(group) {
			giveUp(group, func() bool { return len(processes(group)) == 0 })
		}
		if err := clearExec(group); err != nil {
			k.cfg.Log.Error(err, "cannot end further processes", "name", key.Name, "instance", key.Instance)
		}
	}
}

// adoptDetached watches the process that was started in a cgroup, and tells whether there is one. It may be this process's child, as after an
// upgrade, or not.
func (k *keeper) adoptDetached(key Key, group string) bool {
	pid, pidfd, err := openOldest(group)
	if err != nil {
		return false
	}
	if newExecution(k, key, group, pid, pidfd).watch() == nil {
		return true
	}
	pidfd.Close()
	return false
}
