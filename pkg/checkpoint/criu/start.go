package criu

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
)

// Start runs criu as a child of this process and returns the conversation with it, and what closes the conversation and waits for criu's end. The files become its
// descriptors 4, 5 and so on. It is for questions (versions, features, processors) and for tests: a container's criu is a child of its keeper.
func (t Tool) Start(files ...*os.File) (c *Conn, end func() error, err error) {
	c, theirs, err := Pair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	args := t.Command(3)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.ExtraFiles = Environ(), append([]*os.File{theirs}, files...)
	if err := cmd.Start(); err != nil {
		c.Close()
		return nil, nil, fmt.Errorf("cannot start criu: %w", err)
	}
	c.Kill = func() { cmd.Process.Kill() }
	return c, sync.OnceValue(func() error {
		c.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("criu: %w", err)
		}
		return nil
	}), nil
}
