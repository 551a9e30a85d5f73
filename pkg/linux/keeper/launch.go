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

// launch starts a keeper and waits until it listens. A keeper closes its standard error when it is ready, so that
// what is read until then is why it is not.
func launch(ctx context.Context, cfg Config) error {
	cmd, release, err := command(cfg)
	if err != nil {
		return err
	}
	defer release()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot start a keeper: %w", err)
	}
	defer r.Close()
	cmd.Stderr = w
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("cannot start a keeper: %w", err)
	}
	go cmd.Wait() // reaps it, should it die first
	defer context.AfterFunc(ctx, func() { r.Close() })()
	said, err := io.ReadAll(io.LimitReader(r, maxComplaint))
	switch text := strings.TrimSpace(string(bytes.ToValidUTF8(said, nil))); {
	case ctx.Err() != nil:
		return fmt.Errorf("cannot start a keeper: %w", context.Cause(ctx))
	case text != "":
		return fmt.Errorf("cannot start a keeper: %s", text)
	case err != nil:
		return fmt.Errorf("cannot start a keeper: %w", err)
	case cfg.Place != nil:
		return cfg.Place(ctx, cmd.Process.Pid)
	}
	return nil
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
