package keeper

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// consoleChunk is how much is read from a terminal at once, what a pipe that is not full takes whole; consoleTurns is how often, before others
// have their turn.
const (
	consoleChunk = 4 << 10 // PIPE_BUF
	consoleTurns = 64
)

// takeConsole keeps a copy of the master of the terminal that comes with a start, if one does.
func (in *instance) takeConsole(sent map[string]*os.File) error {
	if sent[FileConsole] == nil {
		return nil
	}
	copies, err := duplicate(map[string]*os.File{FileConsole: sent[FileConsole]})
	if err != nil {
		return err
	}
	console := copies[FileConsole]
	if err := unix.SetNonblock(number(console), true); err != nil {
		console.Close()
		return fmt.Errorf("cannot use the terminal: %w", err)
	}
	in.io.Lock()
	defer in.io.Unlock()
	in.console = console
	return nil
}

// terminal is what to do when the container has written to its terminal. While nobody in the container has the terminal open it reads as an error,
// and is looked at again later; so it is when the output pipe is full.
func (in *instance) terminal() bool {
	in.io.Lock()
	defer in.io.Unlock()
	if in.log == nil || in.console == nil {
		return false
	}
	pause := retryPause
	switch err := in.pour(); {
	case err == nil, errors.Is(err, unix.EAGAIN):
		return true
	case errors.Is(err, unix.ENOBUFS):
		pause = stallPause
	}
	source := in.sources[3]
	in.k.after(pause, func() { in.k.loop.rearm(source) })
	return false
}

// pour moves what the container has written to its terminal through the output pipe, like all output, until there is nothing left (EAGAIN), nobody
// to write any (EIO), or it has done a good part. A slow listener can keep the pipe full (ENOBUFS), and who writes into it then would wait for
// the one that empties it: for itself. The caller holds io.
func (in *instance) pour() error {
	buf := make([]byte, consoleChunk)
	for range consoleTurns {
		if !hasRoom(in.pipes[0]) {
			return unix.ENOBUFS
		}
		n, err := unix.Read(int(in.console.Fd()), buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.EIO
		}
		if _, err := in.pipes[0].Write(buf[:n]); err != nil {
			in.k.cfg.Log.Error(err, "output lost", "name", in.key.Name, "instance", in.key.Instance)
		}
		for in.drain(0, false) > 0 {
		}
	}
	return nil
}

// hasRoom tells whether a pipe takes a chunk at once; see pipe(7), PIPE_BUF.
func hasRoom(pipe *os.File) bool {
	poll := []unix.PollFd{{Fd: int32(pipe.Fd()), Events: unix.POLLOUT}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&unix.POLLOUT != 0
}
