package criu

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"time"
)

// ErrNotFound tells that no criu is on the PATH.
var ErrNotFound = errors.New("criu not found on PATH")

// Tool is a criu program.
type Tool struct {
	Path    string // absolute
	Version string // as `criu --version` has it: 4.2.1
}

// versionTimeout bounds how long criu may take to say its version.
const versionTimeout = 5 * time.Second

var versionLine = regexp.MustCompile(`(?m)^Version: ([0-9][0-9A-Za-z.+~-]*)$`)

// Find locates criu on the PATH and asks for its version. The error is ErrNotFound, with how to install it, or says why
// criu gave no version.
func Find(ctx context.Context) (Tool, error) {
	path, err := exec.LookPath("criu")
	if err != nil {
		return Tool{}, notFound{}
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Tool{}, fmt.Errorf("cannot ask %s for its version: %w", path, err)
	}
	version := versionLine.FindSubmatch(out)
	if version == nil {
		return Tool{}, fmt.Errorf("cannot understand the version that %s prints", path)
	}
	return Tool{Path: path, Version: string(version[1])}, nil
}

// notFound is ErrNotFound with how to mend it.
type notFound struct{}

func (notFound) Error() string { return ErrNotFound.Error() }
func (notFound) Unwrap() error { return ErrNotFound }

// Hint says how to install criu.
func (notFound) Hint() string {
	return "install it: apt-get install criu, or see https://criu.org/Installation"
}
