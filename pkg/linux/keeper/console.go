package keeper

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// consoleChunk is how much is read from a terminal at once: less than a pipe holds.
const consoleChunk = 16 << 10

// takeConsole keeps a copy of the master of the terminal that comes with a start, if one does.
func (in *instance) takeConsole(sent map[string]*os.File) error {
	if sent[FileConsole] == nil {
		return nil
	}
	copies, err := duplicate(map[string]*os.File{FileConsole: sent[FileConsole]})
	if err != nil {
		return err
	}
	in.console = copies[FileConsole]
	if err := unix.SetNonblock(int(in.console.Fd()), true); err != nil {
		return fmt.Errorf("cannot use the terminal: %w", err)
	}
	return nil
}

// terminal is what to do when the container has written to its terminal: it goes through the output pipe, like all output. While nobody in the
// container has the terminal open it reads as an error, and is looked at again later.
func (in *instance) terminal() bool {
	in.io.Lock()
	defer in.io.Unlock()
	if in.log == nil || in.console == nil {
		return false
	}
	buf := make([]byte, consoleChunk)
	for range finalTurns {
		n, err := unix.Read(int(in.console.Fd()), buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return true
		case err != nil || n == 0:
			source := in.sources[3]
			in.k.after(retryPause, func() { in.k.loop.rearm(source) })
			return false
		}
		if _, err := in.pipes[0].Write(buf[:n]); err != nil {
			in.k.cfg.Log.Error(err, "output lost", "name", in.key.Name, "instance", in.key.Instance)
		}
		for in.drain(0, false) > 0 {
		}
	}
	return true
}
