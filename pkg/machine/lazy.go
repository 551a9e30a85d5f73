package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// lazyFloor is the memory from which on it is sooner that a container runs without it: the program that brings it takes as long to start as this much to read.
const lazyFloor = 32 << 20

// feederPatience is how long that program may take until it listens.
const feederPatience = 10 * time.Second

// fillPatience is how long an image waits for memory that is still coming.
const fillPatience = time.Minute

// The descriptors of the program that brings memory, beside criu's own log and socket.
const (
	fileImages = "images"
	fileWork   = "work"
	fileStatus = "status"
	fileInUse  = "in use"
)

// feed starts a program that brings the memory after the processes, and tells whether there is one: where it is of no use memory comes first. One that cannot
// be had is errNoFeeder: what is left of it would end the container, so that the restore has to begin anew.
func (r *restoring) feed(ctx context.Context, staged *linux.Restore, images, work *os.File) (bool, error) {
	if r.eager || !r.wantsLazy() {
		return false, nil
	}
	if err := r.node.can(ctx, criu.Lazy); err != nil {
		r.comesFirst(err)
		return false, nil
	}
	if err := r.startFeeder(ctx, staged, images, work); err != nil {
		return false, fmt.Errorf("%w: %w", errNoFeeder, err)
	}
	return true, nil
}

// errNoFeeder is a program that is to bring memory and does not.
var errNoFeeder = errors.New("memory cannot follow")

func (r *restoring) comesFirst(why error) {
	r.node.cfg.Log.Info("memory comes before the processes", "name", r.instance.Name, "instance", r.instance.ID, "why", why.Error())
}

// wantsLazy tells whether the processes are to run before their memory is there. After a run that lost it that way they are not.
func (r *restoring) wantsLazy() bool {
	exit, img := r.instance.Exit, r.source.Image()
	return r.instance.Spec.Spec.Checkpoint.Lazy && cmp.Or(img.Memory, img.Bytes) >= lazyFloor && (exit == nil || exit.Reason != spec.ExitMemoryLost)
}

// startFeeder returns when the program listens. It keeps the image in use for as long as it lives.
func (r *restoring) startFeeder(ctx context.Context, staged *linux.Restore, images, work *os.File) error {
	inUse, err := stillInUse(images)
	if err != nil {
		return err
	}
	defer inUse.Close()
	ready, status, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	tool := start.Tool{Argv: r.tool.LazyCommand(firstFile, firstFile+1, firstFile+2), Files: []string{fileImages, fileWork, fileStatus, fileInUse}}
	err = staged.Feed(ctx, tool, map[string]*os.File{fileImages: images, fileWork: work, fileStatus: status, fileInUse: inUse})
	if err := errors.Join(err, status.Close()); err != nil {
		return err
	}
	_ = ready.SetReadDeadline(time.Now().Add(feederPatience))
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return fmt.Errorf("what is to bring it does not begin: %w", err)
	}
	return nil
}

// stillInUse is a lock on the image of a directory of criu's that lasts as long as somebody has the descriptor: a Reader's ends with this process.
func stillInUse(images *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(images.Fd()), "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	f := os.NewFile(uintptr(fd), "image")
	if err := unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock", err), f.Close())
	}
	return f, nil
}
