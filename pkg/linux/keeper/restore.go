package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// A restore is a start in three steps. The keeper runs a program in the instance's cgroup that executes a restorer, and hangs on to the connection;
// the restorer makes the container's processes, the first of them a child of the keeper's (CLONE_PARENT of clone(2)). Before it lets packets reach them the
// client claims that process for the instance. From then on nobody may take back what the container says to others: when the restorer has ended and the process lives,
// it is the instance's, whether there is a client or not; the next one waits for that, see IsRestoring. A client that hangs up before its claim, a restorer that is
// killed, and a keeper that dies leave nothing: whatever is in the cgroup is killed.

// converseRestore serves the connection that a restore was asked for on. An upgrade waits for its end.
func (k *keeper) converseRestore(ctx context.Context, conn *net.UnixConn, req request, body []byte, files []*os.File, release func()) {
	defer closeAll(files)
	release()
	k.gate.RLock()
	defer k.gate.RUnlock()
	err := req.current()
	var program *process.Program
	var named map[string]*os.File
	if err == nil {
		program, named, err = k.prepareStart(req, body, files)
	}
	for retry := err == nil; retry; retry = errors.Is(err, errGone) {
		err = k.findOrAdd(req.Key).restore(ctx, conn, req.Start, program, named)
	}
	if err != nil {
		send(conn, response{Error: toError(err)}, nil, nil)
	}
}

// restore is errGone as start is. What it has to tell later it tells itself.
func (in *instance) restore(ctx context.Context, conn *net.UnixConn, head startHeader, program *process.Program, files map[string]*os.File) (err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.hold(); err != nil {
		return err
	}
	switch {
	case in.gone:
		return errGone
	case in.running():
		return fmt.Errorf("cannot restore %q: it runs: %w", in.key.Name, fs.ErrExist)
	}
	defer in.k.strays.make()()
	before := in.record
	in.record = in.nextRecord(head, program)
	in.record.Init, in.record.Restoring = true, true
	in.ear = newEar(in.record.Notify)
	restored, err := in.restorer(ctx, conn, program, files)
	if err == nil && restored {
		in.stop = stopRecord{}
		in.show()
		return send(conn, response{Started: in.record.Started}, nil, nil)
	}
	in.over()
	in.record = before
	if in.gone = before.Pid == 0; in.gone {
		in.k.drop(in)
	}
	return errors.Join(err, remove(in.dir, intentFile))
}

// restorer runs the restorer for as long as the client stays, and tells whether it left a process that the client calls the instance's. If not, there is
// nothing left of it.
func (in *instance) restorer(ctx context.Context, conn *net.UnixConn, program *process.Program, files map[string]*os.File) (restored bool, err error) {
	if err := in.open(in.record.Log, true); err != nil {
		return false, err
	}
	all, err := in.files(files)
	if err != nil {
		return false, err
	}
	if err := writeRecord(in.dir, intentFile, in.record); err != nil {
		return false, err
	}
	if err := remove(in.dir, StopFile); err != nil {
		return false, err
	}
	cgroup := in.record.Cgroup
	helper, err := process.Start(program, all)
	if err != nil {
		return false, errors.Join(err, killListed(cgroup))
	}
	defer helper.Pidfd.Close()
	defer func() {
		if !restored {
			err = errors.Join(err, in.clearRestore(helper))
		}
	}()
	if err := send(conn, response{Pid: helper.Pid}, nil, nil); err != nil {
		return false, nil // it has hung up
	}
	// What a dead restorer has made waits for it for ever, and keeps its client waiting by a socket that it has of it.
	end, err := in.k.loop.add(helper.Pidfd, in.k.guarded(func() bool { _ = conn.SetReadDeadline(time.Unix(1, 0)); return false }))
	if err != nil {
		return false, err
	}
	err = in.converse(ctx, conn)
	in.k.loop.remove(end)
	if err != nil {
		return false, err
	}
	if in.pidfd == nil { // nobody has claimed it
		return false, nil
	}
	if err := in.finishRestore(helper); err != nil {
		return false, err
	}
	return true, nil
}

// converse serves the client until it hangs up, talks nonsense, or the restorer has ended. An error is that of a claim.
func (in *instance) converse(ctx context.Context, conn *net.UnixConn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		var req request
		body, files, err := receive(conn, &req)
		if err != nil {
			return nil
		}
		var resp response
		switch {
		case req.Verb == verbFeed:
			resp.Pid, err = in.startFeed(req, body, files)
		case req.Verb == verbHold:
			err = in.holdFeed()
		case req.Verb == verbClaim && in.pidfd == nil:
			resp.Pid = req.Pid
			if err := in.claim(req.Pid, files); err != nil {
				closeAll(files)
				return err
			}
		default:
			err = fmt.Errorf("unknown verb %q in a restore: %w", req.Verb, errors.ErrUnsupported)
		}
		closeAll(files)
		resp.Error = toError(err)
		if send(conn, resp, nil, nil) != nil {
			return nil
		}
	}
}

// claim takes a restored process for the instance's, and the master of its terminal if there is one.
func (in *instance) claim(pid int, console []*os.File) error {
	if len(console) > 0 {
		if err := in.takeConsole(map[string]*os.File{FileConsole: console[0]}); err != nil {
			return err
		}
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("cannot open the restored process %d: %w", pid, err)
	}
	pidfd := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	// Only a child can be waited for, and it cannot have become a stranger: nobody has reaped it.
	if _, _, err := process.Peek(pidfd); err != nil || !isInit(pid) || !slices.Contains(processes(in.record.Cgroup), pid) {
		return errors.Join(fmt.Errorf("process %d is not the first one that was restored in %s: %w", pid, in.record.Cgroup, fs.ErrInvalid), err, pidfd.Close())
	}
	in.pidfd, in.record.Pid = pidfd, pid
	return nil
}

// finishRestore waits for the restorer to have done its work and records the process. One that failed has killed what it made.
func (in *instance) finishRestore(helper *process.Process) error {
	if !in.awaitRestorer(helper.Pidfd) {
		return fmt.Errorf("the restorer does not end: %w", unix.ETIMEDOUT)
	}
	exit, err := process.Reap(helper.Pidfd)
	switch {
	case err != nil:
		return err
	case exit.Signal != 0 || exit.Code != 0 && (!in.alive() || awaitEnd(in.pidfd, condemnedTimeout)): // with code 0 it has let go of a process that has ended since
		return fmt.Errorf("the restorer ended by %v, and the container with it: %w", exit, unix.ECHILD)
	}
	in.record.StartedAt, in.record.Restoring = time.Now(), false
	in.log.Begin(in.run())
	kept := in.k.sandboxes.replace(in.record.Sandbox, in.record.Pid, in.pidfd)
	if stat, err := process.ReadStat(in.record.Pid); err != nil || stat.Exiting || stat.Dead() { // it has ended, as it may at any moment, and has no namespaces to show
		kept = nil
	}
	if err := errors.Join(kept, in.recordStart(), in.watch()); err != nil {
		in.discard()
		return err
	}
	return nil
}

// condemnedTimeout is how long what a restorer has killed that failed may take to end.
const condemnedTimeout = time.Second

// RestorerTimeout is how long a restorer may take to end from the claim on: it has nothing left to do but to let the processes go.
const RestorerTimeout = 30 * time.Second

// awaitRestorer waits for the end of a restorer and tells whether it came in time. Meanwhile it holds what the feeder has, as holdOn does for one that runs.
func (in *instance) awaitRestorer(pidfd *os.File) bool {
	for deadline := time.Now().Add(RestorerTimeout); !awaitEnd(pidfd, holdPause); {
		if time.Now().After(deadline) {
			return false
		}
		if in.feed != nil {
			in.feed.hold()
		}
	}
	return true
}

// clearRestore kills the restorer and all it has made, and reaps what of it is this process's.
func (in *instance) clearRestore(helper *process.Process) error {
	err := errors.Join(ignoreDead(process.Signal(helper.Pidfd, unix.SIGKILL)), killListed(in.record.Cgroup))
	in.endFeed() // after them: nobody goes on with memory that is not there
	_, failed := process.Reap(helper.Pidfd)
	if errors.Is(failed, unix.ECHILD) { // it was reaped by finishRestore
		failed = nil
	}
	return errors.Join(err, failed)
}

// clearUnrestored kills what a restore has left that no client has committed.
func (k *keeper) clearUnrestored(r record) error {
	dir := k.dir(r.Key)
	return errors.Join(killListed(r.Cgroup), clearFeed(dir, r.Key), remove(dir, intentFile))
}

// IsRestoring tells whether an instance with this directory is being restored, in this boot. As long as that it shows as it was before. A restore whose client has gone comes to
// its end, or to nothing, by itself.
func IsRestoring(dir, boot string) bool {
	var r record
	return readRecord(dir, intentFile, &r) == nil && r.Restoring && r.BootID == boot
}

// RestoreRequest asks the keeper to run a restorer in an instance that has no process. The files of the keeper's own are brought as for a start.
type RestoreRequest = StartRequest

// Restoring is a restore that is not done.
type Restoring struct {
	// Pid is the restorer, as the keeper sees it.
	Pid int

	conn *net.UnixConn
	deaf bool // the keeper is an older one, and hears nothing after a claim
}

// Restore runs the restorer that a program executes, in the instance's cgroup. Claim and Wait, or Close, must follow: what has been restored when the
// connection ends without a claim is killed. A keeper is asked once.
func (c *Client) Restore(ctx context.Context, r RestoreRequest) (*Restoring, error) {
	req, program, files, err := startMessage(r)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the restore of %q: %w", r.Name, err)
	}
	req.Verb, req.Protocol = verbRestore, protocol
	conn, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	resp, back, err := askOver(ctx, conn, req, program, files)
	closeAll(back)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Restoring{Pid: resp.Pid, conn: conn}, nil
}

// Feed starts a process that gives the restored container its memory, in a cgroup of its own with FeedPrefix, and returns when it executes its command. It
// outlives this process and the keeper; if it ends with another code than 0 the instance is killed. The caller keeps the files.
func (r *Restoring) Feed(ctx context.Context, e ExecRequest) (pid int, err error) {
	req, program, files, err := execMessage(verbFeed, e)
	if err != nil {
		return 0, fmt.Errorf("cannot encode what gives %q memory: %w", e.Name, err)
	}
	resp, back, err := askOver(ctx, r.conn, req, program, files)
	closeAll(back)
	return resp.Pid, err
}

// Hold has the keeper hold what the process of Feed needs to give memory, before anybody can miss that: it is there, and nobody of the restored runs yet.
func (r *Restoring) Hold(ctx context.Context) error {
	if r.deaf {
		return nil
	}
	_, back, err := askOver(ctx, r.conn, request{Protocol: protocol, Verb: verbHold}, nil, nil)
	closeAll(back)
	return err
}

// Claim names the restored container's first process, by its pid on the node, while the restorer waits to let it go. Console is the master of its terminal,
// nil for none, and stays the caller's. From then on the process becomes the instance's if the restorer ends well. After an error there is nothing.
func (r *Restoring) Claim(ctx context.Context, pid int, console *os.File) error {
	var files []*os.File
	if console != nil {
		files = append(files, console)
	}
	resp, back, err := askOver(ctx, r.conn, request{Protocol: protocol, Verb: verbClaim, Pid: pid}, nil, files)
	closeAll(back)
	r.deaf = resp.Pid == 0
	return err
}

// Wait waits for the restorer's end, after a claim. The process is the instance's then, as if it had been started; after an error there is nothing.
func (r *Restoring) Wait(ctx context.Context) (Started, error) {
	defer context.AfterFunc(ctx, func() { _ = r.conn.SetDeadline(time.Unix(1, 0)) })()
	var resp response
	_, back, err := receive(r.conn, &resp)
	closeAll(back)
	switch {
	case err != nil && ctx.Err() != nil:
		return Started{}, context.Cause(ctx)
	case err != nil:
		return Started{}, fmt.Errorf("%w: %w", errHungUp, err)
	case resp.Error != nil:
		return Started{}, resp.Error
	}
	return resp.Started, nil
}

// Close gives up what is not claimed, and returns when there is nothing left of it. It may be repeated.
func (r *Restoring) Close() error {
	if err := r.conn.CloseWrite(); err != nil {
		return ignoreClosed(r.conn.Close())
	}
	_ = r.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	var resp response
	_, back, _ := receive(r.conn, &resp) // the keeper hangs up when it is done
	closeAll(back)
	return ignoreClosed(r.conn.Close())
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
