package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// abandonTimeout is how long the end of a child that was killed is waited for.
const abandonTimeout = 5 * time.Second

// Abandon ends a child that is of no use, whether it has executed its command or not: it is killed and reaped, and all of it is closed, the pidfd as
// well. It is for whoever does not go on after Wait, and does nothing after one that told of a failure. An error means that the child may live on:
// it did not die within seconds, or somebody traces it. What it has left running is not its matter.
func (k *Parked) Abandon() error {
	ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
	defer cancel()
	done, err := k.result()
	if !done {
		k.kill(ctx)
		_ = k.Wait(ctx) // an error of it alone is told below
		done, err = k.result()
	}
	if done && err != nil { // reaped, and closed
		return nil
	}
	defer k.Pidfd.Close()
	defer k.Close()
	_ = Signal(k.Pidfd, unix.SIGKILL)
	if err := Ended(ctx, k.Pidfd); err != nil {
		return fmt.Errorf("cannot end %s: %w", k.Pidfd.Name(), err)
	}
	if _, err := Reap(k.Pidfd); err != nil && !errors.Is(err, unix.ECHILD) {
		return err
	}
	if done {
		return nil
	}
	if used, err := k.image.used(); used && err == nil { // it was killed when it had just had its child
		return fmt.Errorf("cannot end the child of %s, which goes on in its place", k.Pidfd.Name())
	}
	return nil
}

// kill kills the child and, of a program with a rebirth, the one that it has become by then.
func (k *Parked) kill(ctx context.Context) {
	_ = Signal(k.Pidfd, unix.SIGKILL)
	if k.assembly.program.point(reborn) < 0 || Ended(ctx, k.Pidfd) != nil {
		return
	}
	pid := k.told()
	if pid == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0) // nobody but us reaps it, so it is there
	if err != nil {
		return
	}
	born := os.NewFile(uintptr(fd), fmt.Sprintf("pidfd:%d", pid))
	defer born.Close()
	if _, _, err := Peek(born); err == nil { // a child of ours
		_ = Signal(born, unix.SIGKILL)
	}
}

// Ended waits until a process has ended, and leaves it to be reaped. The error is the context's cause if that ends first.
func Ended(ctx context.Context, pidfd *os.File) error {
	fd, err := number(pidfd)
	if err != nil {
		return err
	}
	const look = 50 // milliseconds between looks at the context
	for {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, look)
			return err
		})
		switch {
		case err != nil || n > 0:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}
