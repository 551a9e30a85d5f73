package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// checkTimeout is how long a successor may take to say that it understands this keeper's handover.
const checkTimeout = 10 * time.Second

// upgrade executes the binary in this process's place. It returns only if that fails, with everything as it was.
func (k *keeper) upgrade(conn *net.UnixConn, files []*os.File) error {
	if len(files) != 1 {
		return fmt.Errorf("cannot upgrade: one file is needed, not %d: %w", len(files), fs.ErrInvalid)
	}
	exe := files[0]
	if !isSealed(exe) {
		sealed, err := Sealed(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()))
		if err != nil {
			return err
		}
		defer sealed.Close()
		exe = sealed
	}
	if err := k.checkSuccessor(exe); err != nil {
		return err
	}
	if err := k.closeGates(); err != nil {
		return err
	}
	defer k.gate.Unlock()
	defer k.events.open()
	h, kept, err := k.handover(conn)
	defer closeAll(kept.own)
	if err != nil {
		return err
	}
	return k.execute(exe, h, kept)
}

// gatePause is how often it is looked whether everything is quiet.
const gatePause = time.Millisecond

// eventsTimeout is how long the events under way may take.
const eventsTimeout = 2 * time.Second

// closeGates waits until nothing changes, and gives up when that takes too long. Requests that come meanwhile do not wait for it, as they would
// for a plain Lock: a start can take as long as its hooks do. Events do, once there is no request that one could wait for: there may be no moment
// without any.
func (k *keeper) closeGates() error {
	for deadline := time.Now().Add(checkTimeout); !k.gate.TryLock(); time.Sleep(gatePause) {
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot upgrade: a start or another request takes too long: %w", unix.EBUSY)
		}
	}
	if !k.events.close(eventsTimeout) {
		k.gate.Unlock()
		return fmt.Errorf("cannot upgrade: output or the end of a process takes too long: %w", unix.EBUSY)
	}
	return nil
}

// checkSuccessor asks a binary whether it can go on from here, before there is no way back.
func (k *keeper) checkSuccessor(exe *os.File) error {
	defer k.strays.make()()
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, fmt.Sprintf("/proc/self/fd/%d", exe.Fd()))
	cmd.Args = append(slices.Clone(k.argv), "--check", strconv.Itoa(handoverVersion))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot upgrade: the successor does not understand this keeper: %w: %.200s", err, out)
	}
	return nil
}

// kept are the descriptors that stay open over an execve.
type kept struct {
	fds []int
	own []*os.File // copies made for it
}

// keep gives the number of a file for the handover; -1 for none.
func (k *kept) keep(f *os.File) int {
	if f == nil {
		return -1
	}
	fd := number(f)
	if fd >= 0 {
		k.fds = append(k.fds, fd)
	}
	return fd
}

// copied keeps the copy that a connection or socket gives of its descriptor.
func (k *kept) copied(f *os.File, err error) (int, error) {
	if err != nil {
		return -1, err
	}
	k.own = append(k.own, f)
	return k.keep(f), nil
}

// handover lists what the successor needs. The gates are closed, so nothing changes meanwhile.
func (k *keeper) handover(conn *net.UnixConn) (h handover, kept kept, err error) {
	var failed error
	h.Lock = kept.keep(k.lock)
	h.Socket, err = kept.copied(k.socket.File())
	h.Client, failed = kept.copied(conn.File())
	if err = errors.Join(err, failed); err != nil {
		return h, kept, fmt.Errorf("cannot upgrade: %w", err)
	}
	for _, in := range k.all() {
		in.mu.Lock()
		if in.running() {
			h.Instances = append(h.Instances, handedProcess{
				Key: in.key, Pidfd: kept.keep(in.pidfd), Pipes: [2]int{kept.keep(in.pipes[0]), kept.keep(in.pipes[1])},
				Stdin: kept.keep(in.stdin), Console: kept.keep(in.console), Notify: kept.keep(in.notify),
			})
		}
		in.mu.Unlock()
	}
	for _, s := range k.sandboxes.byKey {
		handed := handedSandbox{Sandbox: s.Sandbox}
		for _, kind := range s.Kinds {
			handed.FDs = append(handed.FDs, kept.keep(s.files[kind]))
		}
		h.Sandboxes = append(h.Sandboxes, handed)
	}
	return h, kept, nil
}

// execute writes the handover down and executes the successor.
func (k *keeper) execute(exe *os.File, h handover, kept kept) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	f, err := memfd("handover", 0)
	if err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return fmt.Errorf("cannot upgrade: %w", err)
	}
	resume := kept.keep(f)
	for _, fd := range kept.fds {
		unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		defer unix.CloseOnExec(fd)
	}
	argv := append(slices.Clone(k.argv), "--run-dir", k.cfg.RunDir, "--resume", strconv.Itoa(resume))
	k.cfg.Log.Info("executing successor")
	err = unix.Exec(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()), argv, os.Environ())
	return fmt.Errorf("cannot upgrade: execve: %w", err)
}

// resume tells the client that asked for the upgrade that it is done, and goes on listening to it.
func (k *keeper) resume(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if send(conn, response{}, nil, nil) == nil {
		k.converse(ctx, conn, func() {})
	}
}
