package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxComplaint bounds what is read of a keeper that cannot start.
const maxComplaint = 4096

// absent tells whether a dial failed because no keeper listens.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)
}

// launch starts a keeper, waits until it listens, and has it placed.
func launch(ctx context.Context, cfg Config) error {
	start := fork
	if cfg.Start != nil {
		start = elsewhere
	}
	pid, err := start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("cannot start a keeper: %w", err)
	}
	if cfg.Place != nil {
		return cfg.Place(ctx, pid)
	}
	return nil
}

// elsewhere has a keeper started by Config.Start.
func elsewhere(ctx context.Context, cfg Config) (pid int, err error) {
	if err := cfg.Start(ctx, []string{hookName, hookVerb, "--run-dir", cfg.RunDir}); err != nil {
		return 0, err
	}
	hello, err := greet(ctx, cfg)
	return hello.Pid, err
}

// fork starts a keeper as a child. It closes its standard error when it is ready, so that what is read until then is why it is not.
func fork(ctx context.Context, cfg Config) (pid int, err error) {
	cmd, release, err := command(cfg)
	if err != nil {
		return 0, err
	}
	defer release()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cmd.Stderr = w
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return 0, err
	}
	go cmd.Wait() // reaps it, should it die first
	defer context.AfterFunc(ctx, func() { r.Close() })()
	said, err := io.ReadAll(io.LimitReader(r, maxComplaint))
	switch text := strings.TrimSpace(string(bytes.ToValidUTF8(said, nil))); {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case text != "":
		return 0, errors.New(text)
	case err != nil:
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// command is what starts a keeper; release closes the sealed copy it runs from.
func command(cfg Config) (cmd *exec.Cmd, release func(), err error) {
	if len(cfg.Command) > 0 {
		return exec.Command(cfg.Command[0], cfg.Command[1:]...), func() {}, nil
	}
	exe, err := Sealed("/proc/self/exe")
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.Command(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()), hookVerb, "--run-dir", cfg.RunDir)
	cmd.Args[0] = hookName
	return cmd, func() { exe.Close() }, nil
}
