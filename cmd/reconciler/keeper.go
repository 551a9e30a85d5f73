package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
)

// stopTimeout bounds how long a keeper may take to end.
const stopTimeout = 10 * time.Second

// keeperMain is the hidden verb `keeper`, which agents start, and `keeper stop`, which ends one that keeps nothing.
func keeperMain(args []string) int {
	if len(args) == 0 || args[0] != "stop" {
		return keeper.Main(args)
	}
	flags := flag.NewFlagSet("keeper stop", flag.ContinueOnError)
	runDir := flags.String("run-dir", defaultRunDir, "the node's run directory")
	if err := flags.Parse(args[1:]); err != nil {
		return exitError
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	a := &app{out: newScreen(os.Stdout), err: newScreen(os.Stderr)}
	return a.report(stopKeeper(ctx, *runDir))
}

func stopKeeper(ctx context.Context, runDir string) error {
	c, err := keeper.Dial(ctx, runDir)
	if err != nil {
		return fmt.Errorf("no keeper to stop in %s: %w", runDir, err)
	}
	defer c.Close()
	processes, err := c.List(ctx)
	if err != nil {
		return fmt.Errorf("cannot ask the keeper: %w", err)
	}
	for _, p := range processes {
		if p.Running {
			return withHint(fmt.Errorf("the keeper keeps %q, which runs", p.Name), "remove its manifest first, then let `reconciler run --once` end it")
		}
	}
	return terminateKeeper(ctx, c)
}

// terminateKeeper signals the keeper by a descriptor, and waits for its end.
func terminateKeeper(ctx context.Context, c *keeper.Client) error {
	hello, err := c.Hello(ctx)
	if err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(hello.Pid, 0)
	if err != nil {
		return fmt.Errorf("cannot open the keeper, pid %d: %w", hello.Pid, err)
	}
	pidfd := os.NewFile(uintptr(fd), "keeper")
	defer pidfd.Close()
	if again, err := c.Hello(ctx); err != nil || again.Pid != hello.Pid {
		return fmt.Errorf("the keeper changed meanwhile: %v", err)
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return fmt.Errorf("cannot stop the keeper, pid %d: %w", hello.Pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, int(stopTimeout.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("cannot wait for the keeper: %w", err)
		case n == 0:
			return fmt.Errorf("the keeper, pid %d, does not end", hello.Pid)
		default:
			return nil
		}
	}
}
