package criu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// ErrNotFound tells that there is no criu.
var ErrNotFound = errors.New("criu not found")

// Places are where criu is looked for when it is not on the PATH: scripts/criu.sh puts one into the first, and packages into directories that not everybody has on
// the PATH.
var Places = []string{"/usr/local/lib/reconciler/criu/criu", "/usr/local/sbin/criu", "/usr/sbin/criu"}

// Tool is a criu program.
type Tool struct {
	Path    string // absolute
	Version string // as `criu --version` has it: 4.2.1
}

// versionTimeout bounds how long criu may take to say its version.
const versionTimeout = 5 * time.Second

var versionLine = regexp.MustCompile(`(?m)^Version: ([0-9][0-9A-Za-z.+~-]*)$`)

// Find locates criu and asks for its version. With a path it is that one; without, the first on the PATH, or in Places. The error is ErrNotFound, with how to
// install it, or says why criu gave no version.
func Find(ctx context.Context, path string) (Tool, error) {
	path, err := locate(path, Places)
	if err != nil {
		return Tool{}, err
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

// Look is Find that asks criu for nothing: the Tool has no version.
func Look(path string) (Tool, error) {
	path, err := locate(path, Places)
	return Tool{Path: path}, err
}

// locate finds the program.
func locate(path string, places []string) (string, error) {
	if path != "" {
		if found, err := exec.LookPath(path); err != nil || !filepath.IsAbs(found) {
			return "", fmt.Errorf("cannot use %s as criu: %w", path, cmp.Or(err, fs.ErrInvalid))
		}
		return path, nil
	}
	for _, place := range append([]string{"criu"}, places...) {
		if found, err := exec.LookPath(place); err == nil && filepath.IsAbs(found) {
			return found, nil
		}
	}
	return "", notFound{}
}

// notFound is ErrNotFound with how to mend it.
type notFound struct{}

func (notFound) Error() string { return ErrNotFound.Error() }
func (notFound) Unwrap() error { return ErrNotFound }

// Hint says how to install criu.
func (notFound) Hint() string {
	return "install criu 4.2 or newer: scripts/criu.sh does, on Debian; or see https://criu.org/Installation"
}
